#include "tests/gpu/routing_ops.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "base/check.h"
#include "kernels/in_parts.h"
#include "tests/fakes/forwarding_ops.h"

namespace glm::fakes {
namespace {

using namespace kernels;  // NOLINT: every name of the vocabulary is used once

class RoutingOps final : public ForwardingOps {
 public:
  RoutingOps(std::unique_ptr<Ops> inner, Routing& routing, bool impose)
      : ForwardingOps(std::move(inner)), routing_(routing), impose_(impose) {}

  // The choice of experts needs the host, which a recording leaves out.
  std::unique_ptr<Recording> record(const std::function<void()>& /*enqueue*/) override {
    return nullptr;
  }
  void moe_layer(const MoeLayer& args) override { in_parts(*this, args); }
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
