#include "cmd/cli/local_model.h"

#include <filesystem>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/paths.h"
#include "cmd/cli/terminal.h"
#include "modelfiles/catalog.h"
#include "modelfiles/parser.h"
#include "registry/bundled_source.h"
#include "registry/model_name.h"
#include "store/store.h"

namespace glm {
namespace fs = std::filesystem;
namespace {

constexpr std::uint64_t kTokenizerMaxBytes = 256ull << 20;
constexpr std::string_view kBundled = "bundled:";

bool is_folder(const std::string& name) {
  std::error_code ignored;
  return fs::is_directory(name, ignored);
}

// The errors name the folder.
Result<LocalModel> in_folder(const std::string& name) {
  runner::CheckpointFiles files = GLM_TRY(runner::files_in(name));
  return LocalModel{name, std::move(files), {}};
}

Result<modelfiles::Modelfile> parsed(const std::string& text, const std::string& name) {
  if (text.empty()) return modelfiles::Modelfile{};
  return modelfiles::parse(text, name);
}

// By its name, or a pulled repository under another name.
Result<store::Manifest> find_manifest(const store::Store& store, const registry::ModelRef& ref) {
  Result<store::Manifest> exact = store.find(ref.store_name());
  if (exact.ok() || exact.error().code != Errc::not_found || !ref.is_repository()) return exact;
  for (store::Manifest& manifest : GLM_TRY(store.list())) {
    if (manifest.source == ref.repository && manifest.revision == ref.revision) {
      return std::move(manifest);
    }
  }
  return exact;
}

// None when there is no store yet.
Result<std::unique_ptr<store::Store>> open_store() {
  const fs::path home = GLM_TRY(glm_home());
  std::error_code ignored;
  if (!fs::exists(home / "index.db", ignored)) return std::unique_ptr<store::Store>();
  auto store = GLM_TRY(store::Store::open(home));
  warn(store->warning());
  return store;
}

Result<LocalModel> in_store(const store::Store& store, const registry::ModelRef& ref) {
  const store::Manifest manifest = GLM_TRY(find_manifest(store, ref));
  modelfiles::Modelfile modelfile = GLM_TRY(parsed(manifest.modelfile, manifest.name));
  LocalModel model{manifest.name, {}, std::move(modelfile)};
  for (const store::ManifestFile& file : manifest.files) {
    model.files.emplace(file.path, GLM_TRY(store.blobs().path(file.digest).with(file.path)));
  }
  return model;
}

// Errc::not_found when the catalog does not know the name, or knows it but has it not here.
Result<LocalModel> in_catalog(const registry::ModelRef& ref, std::span<const std::string> here) {
  const fs::path share = GLM_TRY(resource_dir());
  const auto catalog = GLM_TRY(modelfiles::Catalog::open(share / "catalog"));
  modelfiles::CatalogEntry entry = GLM_TRY(catalog.find(ref.model, ref.tag, here));
  const std::string& from = entry.modelfile.from;
  if (!from.starts_with(kBundled)) {
    return make_error(Errc::not_found, "it is not here yet: glm pull {}:{}", entry.model,
                      entry.tag);
  }
  const fs::path folder = share / "models" / from.substr(kBundled.size());
  runner::CheckpointFiles files = GLM_TRY(runner::files_in(folder));
  return LocalModel{entry.model + ":" + entry.tag, std::move(files), std::move(entry.modelfile)};
}

Result<LocalModel> by_name(const std::string& name) {
  const registry::ModelRef ref = GLM_TRY(registry::ModelRef::parse(name));
  const auto store = GLM_TRY(open_store());
  std::vector<std::string> here;
  if (store != nullptr) {
    Result<LocalModel> found = in_store(*store, ref);
    if (found.ok() || found.error().code != Errc::not_found) return found;
    here = store->names();
  }
  if (ref.is_repository()) {
    return make_error(Errc::not_found, "it is not here yet: glm pull {}", name);
  }
  return in_catalog(ref, here);
}

}  // namespace

Result<LocalModel> find_local_model(const std::string& name) {
  GLM_TRY(check_utf8(name, "the model's name"));
  if (name.starts_with('/') || name.starts_with('.')) return in_folder(name);
  Result<LocalModel> found = by_name(name);
  if (!found.ok() && is_folder(name)) return in_folder(name);
  return std::move(found).with(name);
}

Status refuse_folder(const std::string& model) {
  if (registry::ModelRef::parse(model).ok() || !is_folder(model)) return Ok{};
  return make_error(Errc::unsupported,
                    "{} is a folder; folders can be shown, tokenized and templated, not run or "
                    "pulled: 'glm show {}'",
                    model, model);
}

Result<runner::Tokenizer> read_tokenizer(const std::string& model, const std::string& file) {
  if (model.empty()) {
    const std::string json = GLM_TRY(read_file(file, kTokenizerMaxBytes));
    return runner::Tokenizer::parse(json).with(file);
  }
  const LocalModel found = GLM_TRY(find_local_model(model));
  const std::string json = GLM_TRY(
      runner::read_small_file(found.files, "tokenizer.json", kTokenizerMaxBytes).with(found.name));
  return runner::Tokenizer::parse(json).with(found.name);
}

Status check_one_source(const std::string& model, const std::string& file, std::string_view flag) {
  if (model.empty() != file.empty()) return Ok{};
  return make_error(Errc::invalid_argument, "{} MODEL or {}, {}",
                    model.empty() ? "give a" : "give either", flag,
                    model.empty() ? "to say whose" : "not both");
}

}  // namespace glm
