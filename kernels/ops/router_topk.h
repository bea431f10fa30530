// Chooses each token's experts: scores s = sigmoid(logits); the `chosen` largest of s + bias win,
// and their weights come from s alone.
//
//   logits   [tokens, experts]  f32
//   bias     [experts]          f32   optional; used for the choice only
//   ids      [tokens, chosen]   i32   best first
//   weights  [tokens, chosen]   f32   s[ids], divided by their sum if normalize, then times scale
//
// With groups > 1 the experts form equal groups; only experts of the groups_kept best groups may
// win, a group being as good as the sum of its two largest s + bias.
//
// Ties go to the lowest index, among groups as well. NaN loses against everything; ids are always
// valid and distinct, and weights finite, whatever the logits are.
// Bounds   1 <= chosen <= experts; groups divides experts; 1 <= groups_kept <= groups;
//          chosen <= groups_kept * experts / groups.
#pragma once

#include "base/check.h"
#include "kernels/match.h"

namespace glm::kernels {

enum class RouterWeights { as_scored, normalized };

struct RouterTopK {
  TensorView ids;
  TensorView weights;
  ConstTensorView logits;
  ConstTensorView bias = {};
  std::int64_t groups = 1;
  std::int64_t groups_kept = 1;
  RouterWeights weighting = RouterWeights::normalized;
  float scale = 1.0F;
};

inline void check(const RouterTopK& a) {
  Dim tokens("tokens");
  Dim experts("experts");
  Dim chosen("chosen");
  match(a.logits, "logits").shape({&tokens, &experts}).dtype({Dtype::f32}).rows_contiguous();
  if (a.bias) match(a.bias, "bias").shape({&experts}).dtype({Dtype::f32}).contiguous();
  match(a.ids, "ids").shape({&tokens, &chosen}).dtype({Dtype::i32}).contiguous();
  match(a.weights, "weights").shape({&tokens, &chosen}).dtype({Dtype::f32}).contiguous();
  GLM_CHECK(a.groups >= 1 && experts.value() % a.groups == 0);
  GLM_CHECK(a.groups_kept >= 1 && a.groups_kept <= a.groups);
  GLM_CHECK(chosen.value() >= 1);
  GLM_CHECK(chosen.value() <= a.groups_kept * (experts.value() / a.groups));
}

}  // namespace glm::kernels
