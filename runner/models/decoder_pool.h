// The memory of a decoder's pages: what every layer keeps of the tokens of all sequences,
// [layers, pages, kPageTokens, elements of a row], and the tokens themselves, [pages, kPageTokens].
//
// There is one page more than the pool hands out: what a step computes only to have an even shape
// is written there, and nobody reads it.
#pragma once

#include <cstdint>
#include <utility>

#include "kernels/ops.h"
#include "runner/models/device_array.h"
#include "runner/models/model.h"
#include "runner/schedule/kv_blocks.h"

namespace glm::runner {

class DecoderPool final : public KvPool {
 public:
  struct Memory {
    DeviceArray rows;
    DeviceArray ids;
    kernels::TensorView rows_view;  // of four axes, as above
    std::int64_t fp8_latent = 0;    // PagedRows::fp8_latent
  };

  DecoderPool(const Model* owner, std::int64_t number, Memory memory)
      : KvPool(memory.rows_view.size(1) - 1),
        owner_(owner),
        number_(number),
        memory_(std::move(memory)) {}

  std::int64_t number() const { return number_; }  // no two pools of a model have the same

  bool belongs_to(const Model* model) const { return owner_ == model; }

  std::int32_t spare_page() const { return static_cast<std::int32_t>(pages()); }

  // The pages of one layer, and who has which.
  kernels::PagedRows layer(std::size_t index, const kernels::ConstTensorView& table) const {
    const kernels::TensorView& view = memory_.rows_view;
    kernels::TensorView pages = view.slice(0, static_cast<std::int64_t>(index), 1);
    pages.rank = 3;
    pages.shape = {view.size(1), view.size(2), view.size(3)};
    pages.strides = {view.stride(1), view.stride(2), view.stride(3)};
    return {.pages = pages, .table = table, .fp8_latent = memory_.fp8_latent};
  }

  kernels::TensorView ids() const { return memory_.ids.view({pages() + 1, kPageTokens}); }

 private:
  const Model* owner_;
  std::int64_t number_;
  Memory memory_;
};

}  // namespace glm::runner
