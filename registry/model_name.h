// How people name models: "tiny", "glm-4.7-flash:nvfp4", "org/name", "org/name@revision",
// "hf.co/org/name", "https://huggingface.co/org/name/tree/revision".
//
// Names end up in URLs and in the index, never in paths; they are checked all the same.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace glm::registry {

struct ModelRef {
  // Repository form: a model on the hub.
  std::string repository;  // "org/name"; empty in the short form
  std::string revision;    // branch, tag or commit; "main" by default

  // Short form: a model of the catalog, or a name the user gave with `cp`.
  std::string model;
  std::string tag;  // "latest" by default

  // Errc::invalid_argument says which rule is broken.
  static Result<ModelRef> parse(std::string_view text);

  bool is_repository() const { return !repository.empty(); }

  // The key in the index: "tiny:latest", "org/name:latest" (of main), "org/name:<revision>".
  std::string store_name() const;
};

}  // namespace glm::registry
