#include "cmd/cli/bench_subject.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/paths.h"
#include "cmd/cli/local_model.h"
#include "cmd/cli/terminal.h"
#include "modelfiles/catalog.h"
#include "modelfiles/catalog_sizes.h"
#include "registry/model_name.h"

namespace glm {
namespace fs = std::filesystem;
namespace {

constexpr std::uint64_t kConfigMaxBytes = 16U << 20U;
constexpr std::string_view kBundled = "bundled:";
constexpr std::string_view kSuffix = ".json";

struct Layout {
  std::string name;    // of the model
  std::string source;  // whose configuration it is
  fs::path config;
};

bool is_path(const std::string& name) {
  return name.starts_with('/') || name.starts_with('.') || name.ends_with(kSuffix);
}

Layout layout_at(const std::string& path) {
  std::error_code ignored;
  const bool folder = fs::is_directory(path, ignored);
  return {.name = path,
          .source = path,
          .config = folder ? fs::path(path) / "config.json" : fs::path(path)};
}

// "zai-org/GLM-4.7, …"
std::string known_layouts(const fs::path& layouts) {
  std::vector<std::string> names;
  std::error_code failure;
  for (fs::recursive_directory_iterator entry(layouts, failure), end; !failure && entry != end;
       entry.increment(failure)) {
    const std::string name = entry->path().lexically_relative(layouts).generic_string();
    if (name.ends_with(kSuffix)) names.push_back(name.substr(0, name.size() - kSuffix.size()));
  }
  std::sort(names.begin(), names.end());
  return fmt::format("{}", fmt::join(names, ", "));
}

Result<Layout> layout_of_repository(std::string name, const std::string& repository) {
  const fs::path layouts = GLM_TRY(resource_dir()) / "layouts";
  const fs::path config = layouts / (repository + std::string(kSuffix));
  std::error_code ignored;
  if (fs::is_regular_file(config, ignored)) {
    return Layout{.name = std::move(name), .source = repository, .config = config};
  }
  return make_error(Errc::not_found,
                    "how {} is stored is not known here; give the path of its config.json, or one "
                    "of {}",
                    repository, known_layouts(layouts));
}

Result<Layout> find_layout(const std::string& name) {
  if (is_path(name)) return layout_at(name);
  const registry::ModelRef ref = GLM_TRY(registry::ModelRef::parse(name));
  if (ref.is_repository()) return layout_of_repository(name, ref.repository);
  const fs::path share = GLM_TRY(resource_dir());
  const auto catalog = GLM_TRY(modelfiles::Catalog::open(share / "catalog"));
  const modelfiles::CatalogEntry entry = GLM_TRY(catalog.find(ref.model, ref.tag));
  const std::string known = entry.model + ":" + entry.tag;
  const std::string& from = entry.modelfile.from;
  if (!from.starts_with(kBundled)) return layout_of_repository(known, from);
  const std::string bundle = from.substr(kBundled.size());
  return Layout{
      .name = known, .source = bundle, .config = share / "models" / bundle / "config.json"};
}

}  // namespace

Result<bench::Subject> local_subject(const std::string& name) {
  const LocalModel model = GLM_TRY(find_local_model(name));
  return bench::Subject::from_files(model.name, model.files);
}

Result<bench::Subject> synthetic_subject(const std::string& name, std::int64_t layers) {
  GLM_TRY(check_utf8(name, "the model's name"));
  const Layout layout = GLM_TRY(find_layout(name).with("--synthetic"));
  const std::string config =
      GLM_TRY(read_file(layout.config, kConfigMaxBytes).with("--synthetic " + name));
  return bench::Subject::from_config(layout.name, layout.source, config, layers);
}

std::vector<runner::Alternative> other_forms_of(const bench::Subject& subject) {
  std::vector<runner::Alternative> forms;
  for (const modelfiles::CatalogSize& row : modelfiles::other_forms(subject.layout())) {
    forms.push_back({.name = std::string(row.name), .weight_bytes = row.weight_bytes});
  }
  return forms;
}

}  // namespace glm
