#include "tests/fakes/dossiers/dossier.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>

namespace glm::fakes {
namespace {

// Writers put tensors in this order, and then by name.
std::size_t rank_of(std::string_view dtype) {
  constexpr std::array<std::string_view, 8> kOrder = {"I64", "F32",     "I32", "BF16",
                                                      "F16", "F8_E4M3", "I8",  "U8"};
  return static_cast<std::size_t>(std::find(kOrder.begin(), kOrder.end(), dtype) - kOrder.begin());
}

// The JSON of a header as writers write it, padded to eight bytes.
std::string header_of(std::vector<const NamedTensor*> tensors, std::uint64_t& data_bytes) {
  std::sort(tensors.begin(), tensors.end(), [](const NamedTensor* a, const NamedTensor* b) {
    const std::size_t x = rank_of(a->dtype), y = rank_of(b->dtype);
    return x == y ? a->name < b->name : x < y;
  });
  std::string json = R"({"__metadata__":{"format":"pt"})";
  data_bytes = 0;
  for (const NamedTensor* tensor : tensors) {
    fmt::format_to(std::back_inserter(json),
                   R"(,"{}":{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})", tensor->name,
                   tensor->dtype, fmt::join(tensor->shape, ","), data_bytes,
                   data_bytes + tensor->bytes());
    data_bytes += tensor->bytes();
  }
  json += '}';
  json.resize((json.size() + 7) / 8 * 8, ' ');
  return json;
}

// Indented by two, without a newline at the end, as the usual writer leaves it.
std::string index_of(const std::map<std::string, std::string>& weight_map, std::uint64_t bytes) {
  std::string json = fmt::format(
      "{{\n  \"metadata\": {{\n    \"total_size\": {}\n  }},\n  \"weight_map\": {{\n", bytes);
  bool first = true;
  for (const auto& [tensor, file] : weight_map) {
    fmt::format_to(std::back_inserter(json), "{}    \"{}\": \"{}\"", first ? "" : ",\n", tensor,
                   file);
    first = false;
  }
  return json + "\n  }\n}";
}

}  // namespace

std::uint64_t Dossier::tensor_bytes() const {
  std::uint64_t sum = 0;
  for (const NamedTensor& tensor : tensors) sum += tensor.bytes();
  return sum;
}

std::uint64_t Dossier::file_bytes() const {
  std::uint64_t sum = 0;
  for (const runner::ShardHeader& header : shards) sum += header.file_bytes;
  return sum;
}

void shard(Dossier& dossier, const Sharding& sharding) {
  const std::uint64_t each = dossier.tensor_bytes() / sharding.files + 1;
  const std::string mtp = fmt::format("model.layers.{}.", sharding.mtp_layer);
  std::vector<std::vector<const NamedTensor*>> files(sharding.files + 1);  // the last is mtp's
  std::uint64_t so_far = 0;
  for (const NamedTensor& tensor : dossier.tensors) {
    const bool apart = sharding.mtp_file && tensor.name.starts_with(mtp);
    files[apart ? sharding.files : so_far / each].push_back(&tensor);
    so_far += tensor.bytes();
  }
  std::map<std::string, std::string> weight_map;
  for (std::size_t i = 0; i < files.size(); ++i) {
    if (files[i].empty()) continue;
    const std::string name = i == sharding.files   ? "mtp.safetensors"
                             : sharding.files == 1 ? "model.safetensors"
                                                   : fmt::format("model-{:05}-of-{:05}.safetensors",
                                                                 i + 1, sharding.files);
    std::uint64_t data_bytes = 0;
    std::string header = header_of(files[i], data_bytes);
    const std::uint64_t file_bytes = 8 + header.size() + data_bytes;
    dossier.shards.push_back({name, std::move(header), file_bytes});
    for (const NamedTensor* tensor : files[i]) weight_map[tensor->name] = name;
  }
  if (sharding.files > 1) {
    dossier.small_files["model.safetensors.index.json"] =
        index_of(weight_map, dossier.tensor_bytes());
  }
}

}  // namespace glm::fakes
