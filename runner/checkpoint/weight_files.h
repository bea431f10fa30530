// Which files of a checkpoint hold its weights. The names alone decide (and the index, if there is
// one), so that a caller who only has a repository's listing learns which headers it needs.
//
// model.safetensors.index.json decides; without one it is model.safetensors, or else every
// .safetensors file of the top folder. mtp*.safetensors belong to the model whether or not the
// index knows them; consolidated* files are copies in another layout and never count on their own.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "runner/checkpoint/safetensors_index.h"

namespace glm::runner {

// In order of their names. `names` are paths inside the repository; an empty `index` stands for
// none. Errc::not_found: no weights, or a file is missing that the index names or, without one,
// that belongs to the parts that are there ("model-00002-of-00004.safetensors").
// Errc::unsupported: weights in other containers only (GGUF, pickle).
Result<std::vector<std::string>> weight_file_names(std::span<const std::string> names,
                                                   const SafetensorsIndex& index);

}  // namespace glm::runner
