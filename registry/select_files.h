// Which files of a repository glm takes: configuration, tokenizer, templates, papers, and exactly
// the weights that the index names. Never code, pickles, other frameworks' weights or images.
#pragma once

#include <string_view>
#include <vector>

#include "base/result.h"
#include "registry/source.h"

namespace glm::registry {

// The files to fetch first. Errc::unsupported when the repository is no checkpoint that glm reads,
// saying what is there instead.
Result<std::vector<RemoteFile>> select_small(const Snapshot& snapshot);

// The weights. `index_json` is the text of model.safetensors.index.json, empty when there is none.
// Errc::corrupt when it names a file that is not in the repository.
Result<std::vector<RemoteFile>> select_weights(const Snapshot& snapshot,
                                               std::string_view index_json);

inline constexpr std::string_view kIndexFile = "model.safetensors.index.json";

}  // namespace glm::registry
