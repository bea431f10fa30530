#include "cmd/daemon/model_loader.h"

#include <charconv>
#include <fstream>
#include <iterator>
#include <limits>
#include <utility>

#include "cmd/daemon/runner_link.h"
#include "modelfiles/catalog_sizes.h"

namespace glm::daemon {

Result<runner::CheckpointFiles> StoredModelLoader::files_of(const store::Manifest& manifest) const {
  runner::CheckpointFiles files;
  for (const store::ManifestFile& file : manifest.files) {
    files.emplace(file.path, GLM_TRY(store_.blobs().path(file.digest).with(file.path)));
  }
  return files;
}

Result<std::shared_ptr<const TextModel>> StoredModelLoader::text(const store::Manifest& manifest) {
  const runner::CheckpointFiles files = GLM_TRY(files_of(manifest));
  return std::make_shared<const TextModel>(GLM_TRY(TextModel::load(files, manifest.modelfile)));
}

Result<runner::LoadFrame> StoredModelLoader::frame_of(const store::Manifest& manifest,
                                                      const RunOptions& options) const {
  runner::LoadFrame frame;
  for (const auto& [path, file] : GLM_TRY(files_of(manifest))) {
    frame.files.emplace_back(path, file.string());
  }
  frame.device = options.device;
  frame.context_max = options.context_max;
  frame.kv_cache_type = options.kv_cache_type;
  for (const modelfiles::CatalogSize& form : modelfiles::other_forms(manifest.source)) {
    frame.alternatives.emplace_back(form.name, form.weight_bytes);
  }
  return frame;
}

Status StoredModelLoader::check(const store::Manifest& manifest, const RunOptions& options) {
  runner::LoadFrame frame = GLM_TRY(frame_of(manifest, options));
  frame.only_check = true;
  const std::shared_ptr<Runner> runner = GLM_TRY(RunnerLink::start(frame, {}));
  const Status possible = runner->wait_until_ready();
  runner->end();
  return possible;
}

Result<std::shared_ptr<Runner>> StoredModelLoader::start(const store::Manifest& manifest,
                                                         const RunOptions& options,
                                                         std::uint64_t promised_bytes) {
  runner::LoadFrame frame = GLM_TRY(frame_of(manifest, options));
  frame.promised_bytes = promised_bytes;
  ModelMetrics& metrics = metrics_.model(manifest.name);
  return std::shared_ptr<Runner>(GLM_TRY(RunnerLink::start(
      frame, [&metrics](const runner::EngineStats& before, const runner::EngineStats& now) {
        metrics.take(before, now);
      })));
}

std::uint64_t StoredModelLoader::host_memory_free() const {
  std::ifstream stream("/proc/meminfo");
  return available_memory(std::string(std::istreambuf_iterator<char>(stream), {}));
}

std::uint64_t available_memory(std::string_view meminfo) {
  constexpr std::uint64_t kUnknown = std::numeric_limits<std::uint64_t>::max();
  constexpr std::string_view kField = "MemAvailable:";
  const std::size_t at = meminfo.find(kField);
  if (at == std::string_view::npos) return kUnknown;
  meminfo.remove_prefix(at + kField.size());
  meminfo.remove_prefix(std::min(meminfo.find_first_not_of(' '), meminfo.size()));
  std::uint64_t kibibytes = 0;
  const auto read = std::from_chars(meminfo.data(), meminfo.data() + meminfo.size(), kibibytes);
  return read.ec == std::errc() ? kibibytes * 1024 : kUnknown;
}

}  // namespace glm::daemon
