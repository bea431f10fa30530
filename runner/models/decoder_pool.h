// The memory of a decoder's pages: what every layer keeps of the tokens of all sequences,
// [layers, pages, kPageTokens, cache_dim], and the tokens themselves, [pages, kPageTokens].
#pragma once

#include <cstdint>
#include <utility>

#include "kernels/ops.h"
#include "runner/models/device_weight.h"
#include "runner/models/model.h"
#include "runner/schedule/kv_blocks.h"

namespace glm::runner {

class DecoderPool final : public KvPool {
 public:
  struct Memory {
    DeviceArray rows;
    DeviceArray ids;
    kernels::TensorView rows_view;  // of four axes, as above
  };

  DecoderPool(const Model* owner, std::int64_t number, Memory memory)
      : KvPool(memory.rows_view.size(1)),
        owner_(owner),
        number_(number),
        memory_(std::move(memory)) {}

  std::int64_t number() const { return number_; }  // no two pools of a model have the same

  bool belongs_to(const Model* model) const { return owner_ == model; }

  // The pages of one layer.
  kernels::TensorView layer(std::size_t index) const {
    const kernels::TensorView& view = memory_.rows_view;
    kernels::TensorView pages = view.slice(0, static_cast<std::int64_t>(index), 1);
    pages.rank = 3;
    pages.shape = {view.size(1), view.size(2), view.size(3)};
    pages.strides = {view.stride(1), view.stride(2), view.stride(3)};
    return pages;
  }

  kernels::TensorView ids() const { return memory_.ids.view({pages(), kPageTokens}); }

 private:
  const Model* owner_;
  std::int64_t number_;
  Memory memory_;
};

}  // namespace glm::runner
