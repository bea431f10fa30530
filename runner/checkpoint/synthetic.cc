#include "runner/checkpoint/synthetic.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "base/check.h"
#include "runner/checkpoint/json_fields.h"
#include "runner/checkpoint/synthetic_layout.h"
#include "runner/checkpoint/tensor_source.h"

namespace glm::runner {
namespace {

// Made by the first thread that needs it: most are never read where only headers are looked at.
class Block {
 public:
  Block(const RandomValues& values, kernels::Dtype dtype, std::size_t elements)
      : values_(values), dtype_(dtype), elements_(elements) {}

  const std::vector<std::byte>& bytes() const {
    std::call_once(once_, [this] { bytes_ = random_block(values_, dtype_, elements_); });
    return bytes_;
  }

 private:
  const RandomValues values_;
  const kernels::Dtype dtype_;
  const std::size_t elements_;
  mutable std::once_flag once_;
  mutable std::vector<std::byte> bytes_;
};

class SyntheticSource final : public TensorSource {
 public:
  explicit SyntheticSource(std::vector<SyntheticTensor> layout) {
    tensors_.reserve(layout.size());
    places_.reserve(layout.size());
    for (SyntheticTensor& tensor : layout) {
      places_.push_back(place_of(tensor));
      tensors_.push_back(std::move(tensor.info));
    }
  }

  std::span<const TensorInfo> tensors() const override { return tensors_; }

  // Round and round through the block.
  Status read(const TensorInfo& tensor, std::uint64_t first_byte,
              std::span<std::byte> target) const override {
    const auto index = static_cast<std::size_t>(&tensor - tensors_.data());
    GLM_CHECK(index < tensors_.size());
    const Place& place = places_[index];
    const std::vector<std::byte>& block = place.block->bytes();
    const auto element_bytes = static_cast<std::uint64_t>(kernels::size_bytes(tensor.dtype));
    const std::uint64_t first = place.first % (block.size() / element_bytes) * element_bytes;
    std::uint64_t at = (first + first_byte) % block.size();
    while (!target.empty()) {
      const std::size_t count = std::min<std::size_t>(target.size(), block.size() - at);
      std::memcpy(target.data(), block.data() + at, count);
      target = target.subspan(count);
      at = 0;
    }
    return Ok{};
  }

 private:
  using Key = std::tuple<RandomValues, kernels::Dtype, std::size_t>;
  struct Place {
    const Block* block = nullptr;
    std::uint64_t first = 0;  // element of it that the tensor begins with, modulo their number
  };

  // Tensors of one kind share a block and begin at places of their own in it.
  Place place_of(const SyntheticTensor& tensor) {
    const auto elements = static_cast<std::size_t>(tensor.info.elements());
    const RandomValues::Kind kind = tensor.values.kind;
    const bool whole = kind == RandomValues::Kind::groups;
    const Key key(tensor.values, tensor.info.dtype, whole ? elements : size_class(elements));
    std::unique_ptr<Block>& block = blocks_[key];
    if (!block) block = std::make_unique<Block>(tensor.values, tensor.info.dtype, std::get<2>(key));
    const bool fixed = whole || kind == RandomValues::Kind::shape;
    return {.block = block.get(), .first = fixed ? 0 : std::hash<std::string>()(tensor.info.name)};
  }
  static std::size_t size_class(std::size_t elements) {
    for (const std::size_t bound : {std::size_t{4'000}, std::size_t{65'000}}) {
      if (elements <= bound) return bound;
    }
    return 1'000'000;
  }

  std::map<Key, std::unique_ptr<Block>> blocks_;
  std::vector<TensorInfo> tensors_;
  std::vector<Place> places_;  // one for each
};

// The text with fewer layers, and without one behind them.
Result<std::string> shortened(const std::string& config_json, std::int64_t layers) {
  const JsonFields fields = GLM_TRY(JsonFields::parse(config_json, "config.json"));
  nlohmann::json config = fields.json();
  const std::int64_t all = GLM_TRY(fields.integer("num_hidden_layers", {1, 1024}));
  if (layers < 0 || layers > all) {
    return make_error(Errc::invalid_argument, "{} layers: the model has {}", layers, all);
  }
  config["num_hidden_layers"] = layers == 0 ? all : layers;
  for (const char* name : {"num_nextn_predict_layers", "num_mtp_layers"}) {
    if (config.contains(name)) config[name] = 0;
  }
  // Of a model that begins with more dense layers than are left all are dense.
  const auto dense = config.find("first_k_dense_replace");
  if (layers > 0 && dense != config.end() && dense->is_number_integer() && *dense > layers &&
      *dense <= all) {
    *dense = layers;
  }
  return config.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

Result<Synthetic> synthesize(const std::string& config_json, std::int64_t layers) {
  const std::string config = GLM_TRY(shortened(config_json, layers));
  const ModelFacts facts = GLM_TRY(inspect_config(config));
  Checkpoint checkpoint = GLM_TRY(Checkpoint::from_source(std::make_unique<SyntheticSource>(
      GLM_TRY(synthetic_layout(facts.config, facts.quantization)))));
  ModelFacts whole = GLM_TRY(inspect(config, checkpoint));
  // What a few layers are mostly of is not what the checkpoint is called by.
  if (layers > 0) whole.format_summary = GLM_TRY(synthesize(config_json, 0)).facts.format_summary;
  return Synthetic{.facts = std::move(whole), .checkpoint = std::move(checkpoint)};
}

}  // namespace glm::runner
