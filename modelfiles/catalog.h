// The short names that glm ships: `tiny`, `glm-4.7-flash:nvfp4`. One folder per model, one
// Modelfile per tag: <catalog>/<model>/<tag>.modelfile.
//
// Thread safety: const members may be called from any thread.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "modelfiles/modelfile.h"

namespace glm::modelfiles {

struct CatalogEntry {
  std::string model;  // as the catalog spells it
  std::string tag;
  std::string text;  // of the Modelfile
  Modelfile modelfile;
};

class Catalog {
 public:
  // Lists the folder; Modelfiles are read when they are asked for, so that a broken one harms only
  // itself. Errc::not_found if there is no such folder.
  static Result<Catalog> open(std::filesystem::path catalog_dir);

  // Upper and lower case are equal; an empty tag means "latest". Errc::not_found with the tags
  // there are, or with the nearest name of the catalog and of `here`: what else could be meant.
  Result<CatalogEntry> find(std::string_view model, std::string_view tag,
                            std::span<const std::string> here = {}) const;

  // Every model with its tags, "latest" first, in alphabetical order.
  const std::map<std::string, std::vector<std::string>>& models() const { return models_; }

 private:
  std::string near(const std::string& name, std::span<const std::string> here) const;
  Catalog(std::filesystem::path dir, std::map<std::string, std::vector<std::string>> models)
      : dir_(std::move(dir)), models_(std::move(models)) {}

  std::filesystem::path dir_;
  std::map<std::string, std::vector<std::string>> models_;
};

}  // namespace glm::modelfiles
