#include "tests/gpu/routing_ops.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "base/check.h"

namespace glm::fakes {
namespace {

using namespace kernels;  // NOLINT: every name of the vocabulary is used once

class RoutingOps final : public Ops {
 public:
  RoutingOps(std::unique_ptr<Ops> inner, Routing& routing, bool impose)
      : inner_(std::move(inner)), routing_(routing), impose_(impose) {}

  std::string_view backend() const override { return inner_->backend(); }
  Dtype activation_dtype() const override { return inner_->activation_dtype(); }
  Result<Buffer> allocate(std::uint64_t size_bytes) override {
    return inner_->allocate(size_bytes);
  }
  void upload(void* target, std::span<const std::byte> source) override {
    inner_->upload(target, source);
  }
  void download(std::span<std::byte> target, const void* source) override {
    inner_->download(target, source);
  }
  Status sync() override { return inner_->sync(); }
  Status reserve(const WorkspaceBounds& bounds) override { return inner_->reserve(bounds); }
  std::uint64_t memory_free() const override { return inner_->memory_free(); }

  void add(const Add& args) override { inner_->add(args); }
  void embedding(const Embedding& args) override { inner_->embedding(args); }
  void gqa_attention(const GqaAttention& args) override { inner_->gqa_attention(args); }
  void gather_rows(const GatherRows& args) override { inner_->gather_rows(args); }
  void head_linear(const HeadLinear& args) override { inner_->head_linear(args); }
  void linear(const Linear& args) override { inner_->linear(args); }
  void mla_absorbed(const MlaAbsorbed& args) override { inner_->mla_absorbed(args); }
  void mla_expanded(const MlaExpanded& args) override { inner_->mla_expanded(args); }
  void moe_mlp(const MoeMlp& args) override { inner_->moe_mlp(args); }
  void rms_norm(const RmsNorm& args) override { inner_->rms_norm(args); }
  void rope(const Rope& args) override { inner_->rope(args); }
  void store_rows(const StoreRows& args) override { inner_->store_rows(args); }
  void silu_mul(const SiluMul& args) override { inner_->silu_mul(args); }
  void router_topk(const RouterTopK& args) override {
    inner_->router_topk(args);
    const std::int64_t tokens = args.ids.size(0);
    routing_.chosen = args.ids.size(1);
    routing_.ids.resize(
        static_cast<std::size_t>(routing_.layers * routing_.tokens * routing_.chosen));
    routing_.would.resize(routing_.ids.size());
    GLM_CHECK(first_ + tokens <= routing_.tokens);
    const auto part = [&](std::vector<std::int32_t>& all) {
      return std::span(all).subspan(
          static_cast<std::size_t>((layer_ * routing_.tokens + first_) * routing_.chosen),
          static_cast<std::size_t>(tokens * routing_.chosen));
    };
    inner_->download(std::as_writable_bytes(part(impose_ ? routing_.would : routing_.ids)),
                     args.ids.data);
    if (impose_) impose(args, part(routing_.ids));
    GLM_CHECK(inner_->sync().ok());
    layer_ = (layer_ + 1) % routing_.layers;
    if (layer_ == 0) first_ += tokens;
  }

 private:
  void impose(const RouterTopK& args, std::span<const std::int32_t> ids) {
    const auto tokens = static_cast<std::size_t>(args.ids.size(0));
    const auto chosen = static_cast<std::size_t>(args.ids.size(1));
    const auto experts = static_cast<std::size_t>(args.logits.size(1));
    GLM_CHECK(args.logits.stride(0) == args.logits.size(1));
    std::vector<float> logits(tokens * experts);
    inner_->download(std::as_writable_bytes(std::span(logits)), args.logits.data);
    GLM_CHECK(inner_->sync().ok());
    std::vector<float> weights(tokens * chosen);
    for (std::size_t t = 0; t < tokens; ++t) {
      float sum = 0;
      for (std::size_t j = 0; j < chosen; ++j) {
        const auto expert = static_cast<std::size_t>(ids[t * chosen + j]);
        const float logit = logits[t * experts + expert];
        weights[t * chosen + j] = 1.0F / (1.0F + std::exp(-logit));
        sum += weights[t * chosen + j];
      }
      const float factor =
          args.weighting == RouterWeights::normalized ? args.scale / (sum + 1e-20F) : args.scale;
      for (std::size_t j = 0; j < chosen; ++j) weights[t * chosen + j] *= factor;
    }
    inner_->upload(args.ids.data, std::as_bytes(ids));
    inner_->upload(args.weights.data, std::as_bytes(std::span(weights)));
    GLM_CHECK(inner_->sync().ok());
  }

  std::unique_ptr<Ops> inner_;
  Routing& routing_;
  bool impose_;
  std::int64_t layer_ = 0;
  std::int64_t first_ = 0;
};

}  // namespace

std::unique_ptr<Ops> with_routing(std::unique_ptr<Ops> inner, Routing& routing, bool impose) {
  return std::make_unique<RoutingOps>(std::move(inner), routing, impose);
}

}  // namespace glm::fakes
