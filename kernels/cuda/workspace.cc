#include "kernels/cuda/workspace.h"

#include "base/check.h"

namespace glm::kernels::cuda {
namespace {

// Deals out consecutive pieces, each at a multiple of 256 bytes.
class Pieces {
 public:
  explicit Pieces(void* first) : first_(static_cast<std::byte*>(first)) {}

  template <typename T>
  T* take(std::int64_t count) {
    std::byte* piece = first_ == nullptr ? nullptr : first_ + used_;
    used_ += (static_cast<std::uint64_t>(count) * sizeof(T) + 255) / 256 * 256;
    return reinterpret_cast<T*>(piece);
  }
  std::uint64_t used() const { return used_; }

 private:
  std::byte* first_;
  std::uint64_t used_ = 0;
};

MoeWorkspace lay_out_moe(const WorkspaceBounds& bounds, Pieces& pieces) {
  const std::int64_t pairs = bounds.tokens * bounds.chosen;
  MoeWorkspace moe;
  moe.inner = pieces.take<std::uint16_t>(pairs * bounds.inner);
  moe.outer = pieces.take<float>(pairs * bounds.hidden);
  moe.gathered = moe.outer;
  moe.sorted = pieces.take<std::int32_t>(pairs);
  moe.offsets = pieces.take<std::int32_t>(bounds.experts + 1);
  moe.tiles = pieces.take<RowTile>(pairs);
  moe.tile_count = pieces.take<std::int32_t>(1);
  moe.progress = pieces.take<MoeProgress>(1);
  moe.opening = pieces.take<MoeOpeningProgress>(1);
  moe.meetings = pieces.take<std::uint32_t>(kMoeMeetings);
  moe.squares = pieces.take<float>(kMoeSquaredTokens * (bounds.hidden / kSquaredOutputs));
  constexpr std::int64_t kOctet = 8;  // of numbers, which are read together
  moe.awaited.count =
      (bounds.chosen * bounds.inner + kOctet - 1) / kOctet * kOctet + kMoeAwaitedWide;
  moe.awaited.first = pieces.take<std::uint16_t>(2 * moe.awaited.count);
  moe.awaited.turn = pieces.take<std::uint32_t>(1);
  moe.scores = pieces.take<MoeScore>(kMoeScoredTokens * (bounds.experts + kMoeSquares));
  return moe;
}

SampleWorkspace lay_out_sample(const WorkspaceBounds& bounds, Pieces& pieces) {
  SampleWorkspace sample;
  sample.parts = pieces.take<SamplePart>(bounds.rows * sample_parts(bounds.vocab));
  sample.drawn = pieces.take<SampleBest>(bounds.rows * sample_chunks(bounds.vocab));
  sample.bins = pieces.take<SampleBins>(bounds.rows);
  sample.lists = pieces.take<SampleList>(bounds.rows);
  sample.adjusted = pieces.take<float>(bounds.rows * bounds.vocab);
  return sample;
}

}  // namespace

std::uint64_t Workspace::size_bytes(const WorkspaceBounds& bounds) {
  Pieces pieces(nullptr);
  lay_out_moe(bounds, pieces);
  lay_out_sample(bounds, pieces);
  return pieces.used();
}

Workspace::Workspace(const WorkspaceBounds& bounds, Buffer memory)
    : bounds_(bounds), memory_(std::move(memory)) {
  Pieces pieces(memory_.data());
  moe_ = lay_out_moe(bounds, pieces);
  sample_ = lay_out_sample(bounds, pieces);
  GLM_CHECK(pieces.used() <= memory_.size_bytes());
}

cudaError_t Workspace::clear(cudaStream_t stream) const {
  const auto scores = static_cast<std::size_t>(kMoeScoredTokens * (bounds_.experts + kMoeSquares));
  if (const cudaError_t code = cudaMemsetAsync(moe_.scores, 0, scores * sizeof(MoeScore), stream);
      code != cudaSuccess) {
    return code;
  }
  if (const cudaError_t code = cudaMemsetAsync(moe_.opening, 0, sizeof(MoeOpeningProgress), stream);
      code != cudaSuccess) {
    return code;
  }
  if (const cudaError_t code =
          cudaMemsetAsync(moe_.meetings, 0, kMoeMeetings * sizeof(std::uint32_t), stream);
      code != cudaSuccess) {
    return code;
  }
  const auto awaited = static_cast<std::size_t>(2 * moe_.awaited.count);
  constexpr int kNothing = 0xFF;  // of every byte
  if (const cudaError_t code =
          cudaMemsetAsync(moe_.awaited.first, kNothing, awaited * sizeof(std::uint16_t), stream);
      code != cudaSuccess) {
    return code;
  }
  if (const cudaError_t code = cudaMemsetAsync(moe_.awaited.turn, 0, sizeof(std::uint32_t), stream);
      code != cudaSuccess) {
    return code;
  }
  return cudaMemsetAsync(moe_.progress, 0, sizeof(MoeProgress), stream);
}

bool Workspace::holds(const MoeMlp& a) const {
  return a.x.size(0) <= bounds_.tokens && a.ids.size(1) <= bounds_.chosen &&
         a.gate.experts <= bounds_.experts && a.x.size(1) <= bounds_.hidden &&
         a.gate.layout.rows <= bounds_.inner;
}

bool Workspace::holds(const Sample& a) const {
  return a.logits.size(0) <= bounds_.rows && a.logits.size(1) <= bounds_.vocab;
}

}  // namespace glm::kernels::cuda
