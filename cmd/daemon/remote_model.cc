#include "cmd/daemon/remote_model.h"

#include <stdlib.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <system_error>

#include "base/errno_error.h"
#include "cmd/daemon/prompt_files.h"
#include "registry/preview.h"

namespace glm::daemon {
namespace fs = std::filesystem;
namespace {

Result<runner::CheckpointFiles> write_files(const registry::Preview& preview,
                                            const fs::path& folder) {
  runner::CheckpointFiles files;
  for (const auto& [name, text] : preview.small_files) {  // plain names, from a table of ours
    const fs::path path = folder / name;
    std::ofstream(path, std::ios::binary) << text;
    std::error_code failure;
    if (fs::file_size(path, failure) != text.size() || failure) {
      return make_error(Errc::exhausted, "write {}: the disk is full or refuses", path.string());
    }
    files.emplace(name, path);
  }
  return files;
}

// A repository without weights for us may still say what it is.
Result<runner::ModelFacts> facts_of(registry::Preview& preview,
                                    const runner::CheckpointFiles& files) {
  if (preview.refusal) {
    runner::ModelFacts facts;
    if (files.contains("config.json")) facts = GLM_TRY(runner::survey_small_files(files));
    facts.refusal = preview.refusal;
    return facts;
  }
  std::vector<runner::ShardHeader> shards;
  for (registry::WeightsHeader& header : preview.headers) {
    shards.push_back({std::move(header.path), std::move(header.json), header.file_bytes});
  }
  return runner::survey_headers(files, shards);
}

}  // namespace

Result<ScratchFolder> ScratchFolder::create() {
  std::error_code failure;
  std::string name = (fs::temp_directory_path(failure) / "glm-look-XXXXXX").string();
  if (failure || ::mkdtemp(name.data()) == nullptr) {
    return errno_error("make folder", name, failure ? failure.value() : errno);
  }
  return ScratchFolder(name);
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;  // a stray folder below /tmp harms nobody
  if (!path_.empty()) fs::remove_all(path_, ignored);
}

Result<RemoteModel> look_at(registry::Source& source, registry::PullRequest request,
                            std::stop_token stop) {
  registry::Preview preview =
      GLM_TRY(registry::preview(source, request.source, request.revision, {}, std::move(stop)));
  ScratchFolder folder = GLM_TRY(ScratchFolder::create());
  runner::CheckpointFiles files = GLM_TRY(write_files(preview, folder.path()));
  runner::ModelFacts facts = GLM_TRY(facts_of(preview, files).with(preview.snapshot.repository));
  const auto is_tokenizer = [](const registry::RemoteFile& file) {
    return file.path == "tokenizer.json";  // large: that it is there has to do
  };
  const auto& listed = preview.snapshot.files;
  if (!facts.refusal && std::none_of(listed.begin(), listed.end(), is_tokenizer)) {
    facts.refusal = no_tokenizer();
  }
  return RemoteModel{.request = std::move(request),
                     .snapshot = std::move(preview.snapshot),
                     .weights_bytes = preview.weights_bytes,
                     .bytes_read = preview.bytes_read,
                     .folder = std::move(folder),
                     .files = std::move(files),
                     .facts = std::move(facts)};
}

}  // namespace glm::daemon
