#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/cpu/ops.h"

namespace glm::kernels::cpu {
namespace {

constexpr float kLost = -std::numeric_limits<float>::infinity();

// The lowest index among the largest; an index already taken never comes back.
std::int64_t take_largest(const std::vector<float>& values, std::vector<char>& taken) {
  std::int64_t best = -1;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (taken[i] != 0) continue;
    if (best < 0 || values[i] > values[static_cast<std::size_t>(best)]) {
      best = static_cast<std::int64_t>(i);
    }
  }
  GLM_CHECK(best >= 0);
  taken[static_cast<std::size_t>(best)] = 1;
  return best;
}

float sigmoid(float x) {
  return 1.0F / (1.0F + std::exp(-x));
}

// Marks the experts of all groups but the best ones as taken.
void close_groups(const RouterTopK& a, const std::vector<float>& ranks, std::vector<char>& taken) {
  const std::size_t size = ranks.size() / static_cast<std::size_t>(a.groups);
  std::vector<float> scores;
  for (std::size_t first = 0; first < ranks.size(); first += size) {
    float best = kLost;
    float second = size > 1 ? kLost : 0.0F;
    for (std::size_t e = first; e < first + size; ++e) {
      if (ranks[e] > best) {
        if (size > 1) second = best;
        best = ranks[e];
      } else if (size > 1 && ranks[e] > second) {
        second = ranks[e];
      }
    }
    scores.push_back(best + second);
  }
  std::vector<char> kept(scores.size(), 0);
  for (std::int64_t i = 0; i < a.groups_kept; ++i) take_largest(scores, kept);
  for (std::size_t e = 0; e < ranks.size(); ++e) taken[e] = kept[e / size] != 0 ? 0 : 1;
}

}  // namespace

void router_topk(ThreadPool& /*pool*/, const RouterTopK& a) {
  check(a);
  const auto experts = static_cast<std::size_t>(a.logits.size(1));
  const std::int64_t chosen = a.ids.size(1);
  const auto* bias = a.bias.as<float>();
  std::vector<float> scores(experts);
  std::vector<float> ranks(experts);
  std::vector<char> taken(experts);
  for (std::int64_t t = 0; t < a.logits.size(0); ++t) {
    const float* logits = a.logits.as<float>() + t * a.logits.stride(0);
    for (std::size_t e = 0; e < experts; ++e) {
      scores[e] = std::isnan(logits[e]) ? 0.0F : sigmoid(logits[e]);
      const float rank = bias == nullptr ? scores[e] : scores[e] + bias[e];
      ranks[e] = std::isnan(logits[e]) || std::isnan(rank) ? kLost : rank;
      taken[e] = 0;
    }
    if (a.groups > 1) close_groups(a, ranks, taken);
    std::int32_t* ids = a.ids.as<std::int32_t>() + t * chosen;
    float* weights = a.weights.as<float>() + t * chosen;
    float sum = 0;
    for (std::int64_t j = 0; j < chosen; ++j) {
      ids[j] = static_cast<std::int32_t>(take_largest(ranks, taken));
      weights[j] = scores[static_cast<std::size_t>(ids[j])];
      sum += weights[j];
    }
    const float factor =
        a.weighting == RouterWeights::normalized ? a.scale / (sum + 1e-20F) : a.scale;
    for (std::int64_t j = 0; j < chosen; ++j) weights[j] *= factor;
  }
}

}  // namespace glm::kernels::cpu
