// A whole safetensors file, its data included. What is accepted tiles the file and can be
// described.
#include <cstddef>
#include <cstdint>
#include <set>
#include <span>
#include <string_view>

#include "base/check.h"
#include "runner/checkpoint/checkpoint.h"

using glm::runner::TensorInfo;

namespace {

void check(std::string_view header, std::uint64_t file_bytes) {
  const auto tensors = glm::runner::parse_safetensors_header(header, file_bytes);
  if (!tensors.ok()) {
    GLM_CHECK(!tensors.error().message.empty());
    GLM_CHECK(tensors.error().message.size() < 2000);
    return;
  }
  std::uint64_t end = glm::runner::kSafetensorsPrefixBytes + header.size();
  std::set<std::string_view> names;
  for (const TensorInfo& tensor : *tensors) {
    GLM_CHECK(tensor.offset == end);
    end += tensor.size_bytes;
    GLM_CHECK(end <= file_bytes);
    GLM_CHECK(static_cast<std::uint64_t>(tensor.elements()) *
                  static_cast<std::uint64_t>(glm::kernels::size_bytes(tensor.dtype)) ==
              tensor.size_bytes);
    GLM_CHECK(glm::runner::plausible_tensor_name(tensor.name));
    GLM_CHECK(names.insert(tensor.name).second);
    GLM_CHECK(!describe(tensor).empty());
  }
  GLM_CHECK(end == file_bytes);
  const glm::runner::ShardHeader shard{
      .name = "model.safetensors", .header = std::string(header), .file_bytes = file_bytes};
  const auto checkpoint = glm::runner::Checkpoint::from_headers({}, std::span(&shard, 1));
  GLM_CHECK(checkpoint.ok());
  GLM_CHECK(checkpoint->tensors().size() == tensors->size());
  for (const TensorInfo* tensor : checkpoint->tensors()) {
    GLM_CHECK(checkpoint->find(tensor->name) == tensor);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view file(reinterpret_cast<const char*>(data), size);
  const auto prefix = std::as_bytes(std::span(data, size)).first(std::min<std::size_t>(size, 8));
  const auto header_bytes = glm::runner::safetensors_header_bytes(prefix, size);
  if (header_bytes.ok()) check(file.substr(8, *header_bytes), size);
  // A length that is wrong hides the rest from the fuzzer, so the rest is looked at as well.
  if (size > 8) check(file.substr(8, file.rfind('}') == file.npos ? 0 : file.rfind('}') - 7), size);
  return 0;
}
