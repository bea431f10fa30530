// An index. What is accepted names plain files, and a checkpoint without their tensors is refused.
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "runner/checkpoint/checkpoint.h"
#include "runner/checkpoint/weight_files.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto index = glm::runner::parse_safetensors_index(text);
  if (!index.ok()) {
    GLM_CHECK(!index.error().message.empty());
    GLM_CHECK(index.error().message.size() < 2000);
    return 0;
  }
  GLM_CHECK(!index->empty());
  std::set<std::string> files;
  for (const auto& [tensor, file] : *index) {
    GLM_CHECK(glm::runner::plausible_tensor_name(tensor));
    GLM_CHECK(file.find_first_of("/\\") == std::string::npos && file.front() != '.');
    files.insert(file);
  }
  const std::vector<std::string> names(files.begin(), files.end());
  const auto weights = glm::runner::weight_file_names(names, *index);
  GLM_CHECK(weights.ok() && *weights == names);
  std::vector<glm::runner::ShardHeader> shards;
  for (const std::string& name : names) {
    shards.push_back({.name = name, .header = "{}", .file_bytes = 10});
  }
  GLM_CHECK(!glm::runner::Checkpoint::from_headers(*index, shards).ok());
  // Without an index the same names are a checkpoint of no tensors, or not a checkpoint.
  (void)glm::runner::Checkpoint::from_headers({}, shards);
  return 0;
}
