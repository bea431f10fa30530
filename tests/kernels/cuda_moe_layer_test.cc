// moe_layer on a GPU: logits against the formula in double precision (of the sum that a front
// gives, where there is one, which itself is held against the formula), the choice against the
// reference's on the same logits, and the result against the formula for that choice. Relative L2
// of a token's row at most 8e-3 (its inner activations are bf16), or 3e-2 where tensor cores round
// weights that are no bf16 numbers.
#include <cmath>

#include "tests/kernels/cuda_fixture.h"
#include "tests/kernels/random_weight.h"

namespace glm::kernels {
namespace {

enum class Way { one_kernel, opening, pieces };  // how the backend is expected to do it

struct LayerCase {
  std::int64_t tokens = 1;
  std::int64_t hidden = 512;
  std::int64_t inner = 256;
  std::int64_t wide = 512;
  std::int64_t experts = 8;
  std::int64_t chosen = 4;
  std::int64_t groups = 1;
  std::int64_t groups_kept = 1;
  Way way = Way::one_kernel;
  const char* router = "bf16";
  const char* shared = "bf16";  // null: no expert of all tokens
  bool crowded = false;         // all tokens choose much the same
  bool front = false;           // from what attention says
  std::int64_t heads = 256;     // so many numbers
};

using Doubles = std::vector<double>;

// w [outputs, inputs] times one row.
Doubles times(const Floats& w, const double* x, std::int64_t outputs, std::int64_t inputs) {
  Doubles y(static_cast<std::size_t>(outputs));
  for (std::int64_t o = 0; o < outputs; ++o) {
    const float* row = w.data() + o * inputs;
    for (std::int64_t i = 0; i < inputs; ++i) y[static_cast<std::size_t>(o)] += row[i] * x[i];
  }
  return y;
}

struct Mlp {
  Floats gate;
  Floats up;
  Floats down;
  Doubles of(const double* x, std::int64_t hidden, std::int64_t inner) const {
    Doubles h = times(gate, x, inner, hidden);
    const Doubles u = times(up, x, inner, hidden);
    for (std::size_t i = 0; i < h.size(); ++i) h[i] = h[i] / (1 + std::exp(-h[i])) * u[i];
    return times(down, h.data(), hidden, inner);
  }
};

class CudaMoeLayer : public CudaTest {
 protected:
  void SetUp() override {
    CudaTest::SetUp();
    cpu_ = make_cpu_ops(2);
  }
  ExpertsView on_device(const RandomWeight& weight) {
    ExpertsView view = weight.host();
    for (const WeightPart part : kAllWeightParts) {
      const auto i = static_cast<std::size_t>(part);
      if (view.parts[i] != nullptr) view.parts[i] = device(weight.part(part));
    }
    return view;
  }
  void check_layer(const FormatCase& format, LayerCase c);
  void check_case(const FormatCase& format, const LayerCase& c);
  void check_tens_of_tokens(const char* name);
  void check_behind(const FormatCase& format, std::int64_t tokens, std::int64_t rest_rows);

  std::unique_ptr<Ops> cpu_;
};

bool all_poison(const Bits& bits) {
  return std::all_of(bits.begin(), bits.end(), [](std::uint16_t b) { return b == 0xFFFF; });
}

// What a front gives, in double precision: rows of the sum as they are, normed with `weight`.
Doubles normed(const Floats& sum, const Floats& weight, double eps) {
  const std::size_t hidden = weight.size();
  Doubles x(sum.size());
  for (std::size_t first = 0; first < sum.size(); first += hidden) {
    double squares = 0;
    for (std::size_t i = 0; i < hidden; ++i) squares += std::pow(sum[first + i], 2);
    const double scale = 1 / std::sqrt(squares / static_cast<double>(hidden) + eps);
    for (std::size_t i = 0; i < hidden; ++i) x[first + i] = sum[first + i] * scale * weight[i];
  }
  return x;
}

// Whether a front leaves the sum times `weight`, rounded, and what comes of it is scaled.
bool norms_in_parts(const FormatCase& format, const LayerCase& c) {
  const bool pairs = format.name == "int4_g32" || format.layout.format == WeightFormat::nvfp4 ||
                     format.layout.format == WeightFormat::fp8;
  return c.front && c.way == Way::opening && pairs && c.tokens > 8 && c.hidden % 512 == 0;
}

// That of such sums.
Doubles weighted_and_normed(const Floats& sum, const Floats& weight, double eps) {
  const Floats ones(weight.size(), 1.0F);
  Doubles x = normed(sum, ones, eps);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double scale = sum[i] == 0 ? 0 : x[i] / static_cast<double>(sum[i]);
    x[i] =
        static_cast<double>(bf16_to_f32(f32_to_bf16(sum[i] * weight[i % weight.size()]))) * scale;
  }
  return x;
}

void CudaMoeLayer::check_layer(const FormatCase& format, LayerCase c) {
  for (const bool front : {false, true}) {
    c.front = front;
    check_case(format, c);
    if (HasFailure()) return;
  }
}

void CudaMoeLayer::check_case(const FormatCase& format, const LayerCase& c) {
  SCOPED_TRACE(testing::Message() << format.name << ", " << c.tokens << " x " << c.hidden << " -> "
                                  << c.inner << " beside " << c.wide << ", " << c.chosen << " of "
                                  << c.experts << (c.front ? ", with a front" : ""));
  const RandomWeight gate(format, c.inner, c.hidden, engine_, c.experts);
  const RandomWeight up(format, c.inner, c.hidden, engine_, c.experts);
  const RandomWeight down(format, c.hidden, c.inner, engine_, c.experts);
  const RandomWeight router(format_of(c.router), c.experts, c.hidden, engine_);
  const FormatCase plain = format_of(c.shared == nullptr ? "bf16" : c.shared);
  const RandomWeight shared_gate(plain, c.wide, c.hidden, engine_);
  const RandomWeight shared_up(plain, c.wide, c.hidden, engine_);
  const RandomWeight shared_down(plain, c.hidden, c.wide, engine_);
  const Bits x = random(c.tokens * c.hidden, 0.25F);
  Floats bias = random_floats(c.experts, 0.3F);
  if (c.crowded) std::fill_n(bias.begin(), c.chosen, 5.0F);

  const auto count = static_cast<std::size_t>(c.tokens * c.hidden);
  const auto pairs = static_cast<std::size_t>(c.tokens * c.chosen);
  const auto scores = static_cast<std::size_t>(c.tokens * c.experts);
  const auto wide = static_cast<std::size_t>(c.tokens * c.wide);
  void* x_memory = device(x);
  const ConstTensorView x_view(x_memory, Dtype::bf16, {c.tokens, c.hidden});
  MoeLayer layer{.out = {poisoned(count * 2), Dtype::bf16, {c.tokens, c.hidden}},
                 .x = x_view,
                 .router = on_device(router).expert(0),
                 .bias = {device(bias), Dtype::f32, {c.experts}},
                 .groups = c.groups,
                 .groups_kept = c.groups_kept,
                 .scale = 1.8F,
                 .gate = on_device(gate),
                 .up = on_device(up),
                 .down = on_device(down),
                 .logits = {poisoned(scores * 4), Dtype::f32, {c.tokens, c.experts}},
                 .ids = {poisoned(pairs * 4), Dtype::i32, {c.tokens, c.chosen}},
                 .weights = {poisoned(pairs * 4), Dtype::f32, {c.tokens, c.chosen}}};
  if (c.shared != nullptr) {
    layer.shared = {.gate = on_device(shared_gate).expert(0),
                    .up = on_device(shared_up).expert(0),
                    .down = on_device(shared_down).expert(0),
                    .inner = {poisoned(wide * 2), Dtype::bf16, {c.tokens, c.wide}},
                    .out = {poisoned(count * 2), Dtype::bf16, {c.tokens, c.hidden}}};
  }
  ASSERT_TRUE(gpu_->reserve({.tokens = c.tokens,
                             .chosen = c.chosen,
                             .experts = c.experts,
                             .hidden = c.hidden,
                             .inner = c.inner})
                  .ok());
  constexpr float kEps = 1e-5F;
  const RandomWeight projection(format, c.hidden, c.heads, engine_);
  const Bits said = random(c.tokens * c.heads, 0.25F);
  const Bits residual = random(c.tokens * c.hidden);
  const Bits norm = random(c.hidden, 0.25F);
  void* front_memory = device(said);
  if (c.front) {
    layer.front = {.projection = {.out = layer.out,
                                  .x = {front_memory, Dtype::bf16, {c.tokens, c.heads}},
                                  .weight = on_device(projection).expert(0)},
                   .norm = {.out = {x_memory, Dtype::bf16, {c.tokens, c.hidden}},
                            .x = layer.out,
                            .weight = {device(norm), Dtype::bf16, {c.hidden}},
                            .residual = {device(residual), Dtype::bf16, {c.tokens, c.hidden}},
                            .sum = {poisoned(count * 2), Dtype::bf16, {c.tokens, c.hidden}},
                            .eps = kEps}};
  }
  gpu_->moe_layer(layer);
  const Bits bits = back<std::uint16_t>(layer.out.data, count);
  if (c.shared != nullptr) {
    EXPECT_EQ(all_poison(back<std::uint16_t>(layer.shared.out.data, count)),
              c.way == Way::one_kernel);
  }

  const Floats x_floats = floats(x);
  Doubles x_doubles(x_floats.begin(), x_floats.end());
  if (c.front) {
    const Floats sum = floats(back<std::uint16_t>(layer.front.norm.sum.data, count));
    const Floats said_floats = floats(said);
    const Doubles said_doubles(said_floats.begin(), said_floats.end());
    const Floats residual_floats = floats(residual);
    const Floats weight = projection.decoded(0);
    // Weights that are no bf16 numbers are rounded; those in nvfp4 but for what sums are scaled by
    // are such.
    const WeightLayout& stored = projection.layout();
    const bool exact = stored.exact_in_bf16() || stored.format == WeightFormat::nvfp4;
    const double allowed = exact ? 1e-2 : 3e-2;
    for (std::int64_t t = 0; t < c.tokens; ++t) {
      const Doubles y = times(weight, said_doubles.data() + t * c.heads, c.hidden, c.heads);
      for (std::int64_t o = 0; o < c.hidden; ++o) {
        const auto at = static_cast<std::size_t>(t * c.hidden + o);
        const double want = y[static_cast<std::size_t>(o)] + residual_floats[at];
        ASSERT_NEAR(sum[at], want, allowed * (1 + std::abs(y[static_cast<std::size_t>(o)])))
            << "token " << t << " column " << o;
      }
    }
    x_doubles = normed(sum, floats(norm), kEps);
    // Elsewhere the norm's result is rounded, and logits are what that gives.
    if (c.way != Way::one_kernel || c.router == std::string_view("f16")) {
      const Floats rounded = floats(back<std::uint16_t>(x_memory, count));
      x_doubles.assign(rounded.begin(), rounded.end());
    }
  }
  Doubles routed = x_doubles;
  if (norms_in_parts(format, c)) {
    routed = weighted_and_normed(floats(back<std::uint16_t>(layer.front.norm.sum.data, count)),
                                 floats(norm), kEps);
    for (std::size_t i = 0; i < count; ++i) {
      ASSERT_NEAR(x_doubles[i], routed[i], 4e-3 * std::abs(routed[i])) << "x " << i;
    }
  }
  const bool exact = router.layout().exact_in_bf16() || c.router == std::string_view("f32");
  const double router_error = exact ? 1e-6 : 1e-4;
  const Floats router_floats = router.decoded(0);
  const Floats logits = back<float>(layer.logits.data, scores);
  for (std::int64_t t = 0; t < c.tokens; ++t) {
    const Doubles want = times(router_floats, routed.data() + t * c.hidden, c.experts, c.hidden);
    for (std::int64_t e = 0; e < c.experts; ++e) {
      ASSERT_NEAR(logits[static_cast<std::size_t>(t * c.experts + e)],
                  want[static_cast<std::size_t>(e)], router_error * static_cast<double>(c.hidden))
          << "token " << t << " expert " << e;
    }
  }

  std::vector<std::int32_t> ids(pairs);
  Floats weights(pairs);
  RouterTopK choice = layer.choice();
  choice.ids.data = ids.data();
  choice.weights.data = weights.data();
  choice.logits.data = logits.data();
  choice.bias.data = bias.data();
  cpu_->router_topk(choice);
  ASSERT_EQ(back<std::int32_t>(layer.ids.data, pairs), ids);
  const Floats got_weights = back<float>(layer.weights.data, pairs);
  for (std::size_t i = 0; i < pairs; ++i) ASSERT_NEAR(got_weights[i], weights[i], 1e-5F);

  std::vector<Mlp> mlps;
  for (std::int64_t e = 0; e < c.experts; ++e) {
    mlps.push_back({gate.decoded(e), up.decoded(e), down.decoded(e)});
  }
  const Mlp shared{shared_gate.decoded(0), shared_up.decoded(0), shared_down.decoded(0)};
  const Floats got = floats(bits);
  const bool rounded = !gate.layout().exact_in_bf16();
  for (std::int64_t t = 0; t < c.tokens; ++t) {
    const double* row = x_doubles.data() + t * c.hidden;
    Doubles want(static_cast<std::size_t>(c.hidden));
    const auto add = [&](const Mlp& mlp, std::int64_t inner, double weight) {
      const Doubles y = mlp.of(row, c.hidden, inner);
      for (std::size_t i = 0; i < y.size(); ++i) want[i] += weight * y[i];
    };
    for (std::int64_t j = t * c.chosen; j < (t + 1) * c.chosen; ++j) {
      const auto pair = static_cast<std::size_t>(j);
      add(mlps[static_cast<std::size_t>(ids[pair])], c.inner, static_cast<double>(weights[pair]));
    }
    if (c.shared != nullptr) add(shared, c.wide, 1);
    double error = 0;
    double size = 0;
    for (std::int64_t o = 0; o < c.hidden; ++o) {
      const double value = got[static_cast<std::size_t>(t * c.hidden + o)];
      ASSERT_TRUE(std::isfinite(value)) << "token " << t << " column " << o;
      error += std::pow(value - want[static_cast<std::size_t>(o)], 2);
      size += std::pow(want[static_cast<std::size_t>(o)], 2);
    }
    ASSERT_LE(std::sqrt(error), (rounded ? 3e-2 : 8e-3) * std::sqrt(size)) << "token " << t;
  }

  // Recorded, and run again over poison; then alone, and beside a token of no numbers.
  const auto forget_results = [&] {
    const Bits poison(count, 0xFFFF);
    gpu_->upload(layer.out.data, std::as_bytes(std::span(poison)));
  };
  const std::unique_ptr<Recording> recording = gpu_->record([&] {
    gpu_->moe_layer(layer);
    gpu_->moe_layer(layer);
  });
  ASSERT_NE(recording, nullptr);
  for (int i = 0; i < 5; ++i) {
    forget_results();
    gpu_->replay(*recording);
    ASSERT_EQ(back<std::uint16_t>(layer.out.data, count), bits) << "replay " << i;
  }
  if (c.way == Way::pieces) return forget();  // other variants round elsewhere
  const auto part = [&](std::int64_t first, std::int64_t some) {
    MoeLayer own = layer;
    for (TensorView* view :
         {&own.out, &own.logits, &own.ids, &own.weights, &own.shared.inner, &own.shared.out}) {
      *view = view->slice(0, first, some);
    }
    own.x = layer.x.slice(0, first, some);
    if (c.front) {
      Linear& linear = own.front.projection;
      RmsNorm& rms = own.front.norm;
      linear.out = linear.out.slice(0, first, some);
      linear.x = linear.x.slice(0, first, some);
      rms.x = rms.x.slice(0, first, some);
      rms.residual = rms.residual.slice(0, first, some);
      for (TensorView* view : {&rms.out, &rms.sum}) *view = view->slice(0, first, some);
    }
    return own;
  };
  // Whether what ends the shared expert of so many tokens is the routed experts' launch, which adds
  // up in another order than the opening: where they are few, for all of them and for each expert
  // (ends_shared() and the bounds of "groups").
  const auto ends_late = [&](std::int64_t tokens) {
    const std::string_view beside = c.shared;
    const bool unlike = format.name == "int4_g32" && beside == "bf16";
    if (!unlike && beside != format.name) return false;
    const std::int64_t most = unlike ? 16 : 32;
    const std::int64_t rows_of_expert = format.name.starts_with("fp8") ? 16 : 10;
    return tokens <= most && tokens * c.chosen < rows_of_expert * c.experts;
  };
  // Of a part of the tokens, up to where the routed experts begin.
  const auto expect_the_same_opening = [&](std::int64_t first, std::int64_t some) {
    gpu_->moe_layer(layer);
    const std::vector<std::uint16_t> all = back<std::uint16_t>(layer.shared.out.data, count);
    const std::vector<std::int32_t> all_ids = back<std::int32_t>(layer.ids.data, pairs);
    gpu_->moe_layer(part(first, some));
    if (ends_late(c.tokens) == ends_late(some)) {
      EXPECT_EQ(back<std::uint16_t>(layer.shared.out.data, count), all) << first << " and on";
    }
    EXPECT_EQ(back<float>(layer.logits.data, scores), logits) << first << " and on";
    EXPECT_EQ(back<std::int32_t>(layer.ids.data, pairs), all_ids) << first << " and on";
  };
  // The linear layer in front may round elsewhere.
  if (c.way == Way::opening && c.front) return forget();
  if (c.way == Way::opening) {
    const std::int64_t fewest = c.tokens < 9 ? 1 : 9;  // fewer may go another way
    expect_the_same_opening(0, fewest);
    expect_the_same_opening(c.tokens - fewest, fewest);
    if (c.tokens > 2 * fewest) expect_the_same_opening(fewest / 2, c.tokens / 2);
    gpu_->moe_layer(layer);
    const Bits shared_bits = back<std::uint16_t>(layer.shared.out.data, count);
    const Bits none(static_cast<std::size_t>(c.hidden), 0x7FC0);
    gpu_->upload(x_memory, std::as_bytes(std::span(none)));
    gpu_->moe_layer(layer);
    const Bits beside = back<std::uint16_t>(layer.shared.out.data, count);
    EXPECT_TRUE(
        std::equal(shared_bits.begin() + c.hidden, shared_bits.end(), beside.begin() + c.hidden));
    return forget();
  }
  // One alone may have a kernel of its own, and up to four a front of their own, which adds in
  // another order than that of more, but for 5120 inputs.
  const bool front_of_few = c.front && c.heads > 2048 && c.heads < 5120;
  const std::int64_t some = std::min<std::int64_t>(c.tokens, front_of_few && c.tokens > 4 ? 5 : 2);
  for (const std::int64_t t : {std::int64_t{0}, (c.tokens - some) / 2, c.tokens - some}) {
    const auto rows = [&](const Bits& all) {
      return Bits(all.begin() + t * c.hidden, all.begin() + (t + some) * c.hidden);
    };
    forget_results();
    gpu_->moe_layer(part(t, some));
    EXPECT_EQ(rows(back<std::uint16_t>(layer.out.data, count)), rows(bits)) << t << " and on";
  }
  if (c.tokens > 1) {
    const Bits none(static_cast<std::size_t>(c.front ? c.heads : c.hidden), 0x7FC0);
    gpu_->upload(c.front ? front_memory : x_memory, std::as_bytes(std::span(none)));
    gpu_->moe_layer(layer);
    const Bits beside = back<std::uint16_t>(layer.out.data, count);
    EXPECT_TRUE(std::equal(bits.begin() + c.hidden, bits.end(), beside.begin() + c.hidden));
    for (const std::int32_t id : back<std::int32_t>(layer.ids.data, pairs)) {
      EXPECT_TRUE(id >= 0 && id < c.experts);
    }
  }
  forget();
}

// Few and small, for sanitizers.
TEST_F(CudaMoeLayer, SmallLayersMatchTheFormula) {
  const FormatCase format = format_of("int4_g32");
  check_layer(format, {.tokens = 1, .experts = 5, .chosen = 2});
  check_layer(format, {.tokens = 7, .experts = 5, .chosen = 2});
}

TEST_F(CudaMoeLayer, MatchesTheFormulaInEveryFormatOfFourBits) {
  for (const char* name : {"int4_g32", "int4_g32_zeros", "int4_g128", "nvfp4_multiplies",
                           "nvfp4_divides", "nvfp4_least", "mxfp4"}) {
    for (const std::int64_t tokens : {1, 2, 5, 8}) {
      check_layer(format_of(name), {.tokens = tokens});
      if (HasFailure()) return;
    }
    check_layer(format_of(name), {.tokens = 5, .hidden = 1024, .inner = 512, .experts = 64});
    check_layer(format_of(name), {.tokens = 8, .inner = 768, .wide = 1536, .crowded = true});
    if (HasFailure()) return;
  }
}

TEST_F(CudaMoeLayer, MatchesTheFormulaWhereTheSharedExpertIsLikeTheOthers) {
  for (const char* name :
       {"int4_g32", "int4_g32_zeros", "nvfp4_multiplies", "nvfp4_divides", "mxfp4"}) {
    const FormatCase format = format_of(name);
    for (const std::int64_t tokens : {1, 2, 4, 5, 8}) {
      check_layer(format, {.tokens = tokens, .wide = 256, .shared = name});
      if (HasFailure()) return;
    }
    check_layer(format, {.tokens = 3, .wide = 256, .experts = 1, .chosen = 1, .shared = name});
    check_layer(format, {.tokens = 5, .hidden = 1024, .inner = 512, .experts = 64, .shared = name});
    check_layer(format, {.tokens = 8, .inner = 768, .wide = 768, .shared = name, .crowded = true});
    check_layer(format, {.tokens = 1, .hidden = 2048, .inner = 1536, .wide = 1536, .shared = name});
    // More slabs of outputs than blocks, and fewer experts than stages.
    LayerCase many{.hidden = 2176, .inner = 128, .wide = 128, .experts = 5, .shared = name};
    for (many.tokens = 2; many.tokens <= 6; many.tokens += 2) check_layer(format, many);
    if (HasFailure()) return;
  }
}

TEST_F(CudaMoeLayer, MatchesTheFormulaWhereScalesAreF16) {
  const char* name = "int4_g64_f16_zeros";
  for (const std::int64_t tokens : {1, 2, 5, 8}) {
    check_layer(format_of(name), {.tokens = tokens});
    check_layer(format_of(name), {.tokens = tokens, .wide = 256, .shared = name});
    if (HasFailure()) return;
  }
  check_layer(format_of(name),
              {.tokens = 8, .inner = 768, .wide = 768, .shared = name, .crowded = true});
}

TEST_F(CudaMoeLayer, MatchesTheFormulaHoweverExpertsAreChosen) {
  const FormatCase format = format_of("int4_g32");
  for (const std::int64_t tokens : {1, 3, 8}) {
    const auto check = [&](LayerCase c) {
      c.front = tokens != 3;
      check_case(format, c);
    };
    for (const std::int64_t inner : {128, 384, 640, 1664}) {
      check({.tokens = tokens, .inner = inner});
    }
    check({.tokens = tokens, .experts = 1, .chosen = 1});
    check({.tokens = tokens, .experts = 6, .chosen = 5, .crowded = true});
    check({.tokens = tokens, .experts = 160, .chosen = 8, .router = "f32"});
    check({.tokens = tokens, .experts = 32, .groups = 8, .groups_kept = 3});
    check({.tokens = tokens, .router = "f16"});
    check({.tokens = tokens, .experts = 33, .chosen = 9, .crowded = true});
    check({.tokens = tokens, .inner = 128, .wide = 2304, .chosen = 1});
    check({.tokens = tokens, .hidden = 640, .wide = 128});
    // More slabs of outputs than blocks.
    if (tokens < 8) check({.tokens = tokens, .hidden = 2432, .inner = 128, .wide = 256});
    if (HasFailure()) return;
  }
}

TEST_F(CudaMoeLayer, MatchesTheFormulaInTheDimensionsOfAModel) {
  check_layer(format_of("int4_g32"), {.tokens = 1, .hidden = 2048, .inner = 1536, .wide = 1536});
  check_layer(format_of("int4_g32"),
              {.tokens = 6, .hidden = 2048, .inner = 1536, .wide = 1536, .experts = 16});
  // Room for four stages, which the shared expert's first half fills more than once.
  check_layer(format_of("int4_g32"), {.tokens = 8, .hidden = 2048, .wide = 2816});
}

TEST_F(CudaMoeLayer, MatchesTheFormulaWhereTheFrontDecodesItsWeightsEarly) {
  const auto check = [&](const char* name, LayerCase c) {
    c.front = true;
    check_case(format_of(name), c);
  };
  for (const std::int64_t tokens : {1, 4, 5, 8}) {
    check("int4_g32", {.tokens = tokens, .hidden = 2048, .experts = 64, .heads = 5120});
    check("int4_g128", {.tokens = tokens, .experts = 128, .chosen = 8, .heads = 4352});
    check("nvfp4_multiplies", {.tokens = tokens, .heads = 5120});
  }
  check("int4_g32_zeros", {.tokens = 2, .heads = 5120});
  check("int4_g32", {.tokens = 2, .router = "f32", .heads = 5120});
  check("nvfp4_divides", {.tokens = 3, .heads = 2560});
  check("nvfp4_least", {.tokens = 2, .heads = 5120});
  check("mxfp4", {.tokens = 2, .heads = 5120});
  check("nvfp4_divides", {.tokens = 7, .heads = 2560});
}

TEST_F(CudaMoeLayer, MatchesTheFormulaForSomeTensOfTokens) {
  const FormatCase format = format_of("int4_g32");
  const Way way = Way::opening;
  for (const std::int64_t tokens : {9, 16, 31, 33, 64}) {
    check_layer(format, {.tokens = tokens, .way = way});
    check_layer(format, {.tokens = tokens, .inner = 128, .wide = 128, .chosen = 1, .way = way});
    check_layer(format, {.tokens = tokens, .hidden = 256, .inner = 128, .wide = 768, .way = way});
    if (HasFailure()) return;
  }
  for (const std::int64_t tokens : {9, 16, 17}) {  // the second half moves behind 16
    check_layer(format, {.tokens = tokens, .wide = 1536, .experts = 64, .way = way});
  }
  check_layer(
      format,
      {.tokens = 16, .hidden = 2048, .inner = 128, .wide = 1536, .experts = 64, .way = way});
  check_layer(format, {.tokens = 40, .experts = 64, .way = way});
  check_layer(format, {.tokens = 40, .experts = 33, .chosen = 9, .way = way, .crowded = true});
  check_layer(format, {.tokens = 40, .experts = 1, .chosen = 1, .way = way});
}

// More tokens than the opening takes: a router of their own.
TEST_F(CudaMoeLayer, MatchesTheFormulaForPrompts) {
  const FormatCase format = format_of("int4_g32");
  const Way way = Way::pieces;
  for (const std::int64_t tokens : {65, 80, 129}) {
    check_layer(format, {.tokens = tokens, .way = way});
    check_layer(format, {.tokens = tokens, .hidden = 1536, .inner = 128, .wide = 128, .way = way});
    check_layer(format, {.tokens = tokens, .experts = 64, .way = way, .front = true});
    if (HasFailure()) return;
  }
  check_layer(format, {.tokens = 70, .experts = 33, .chosen = 9, .way = way, .crowded = true});
  check_layer(format, {.tokens = 70, .experts = 1, .chosen = 1, .way = way});
  // More rows to gather than there are warps for at once.
  check_layer(format, {.tokens = 600, .inner = 128, .wide = 128, .experts = 64, .way = way});
  check_layer(format, {.tokens = 1100, .inner = 128, .wide = 128, .experts = 16, .way = way});
  // With another.
  check_layer(format, {.tokens = 70, .experts = 72, .way = way});
  check_layer(format, {.tokens = 70, .hidden = 640, .way = way});
  check_layer(format, {.tokens = 70, .groups = 2, .way = way});
}

// A shared expert like the others, which the opening decodes.
void CudaMoeLayer::check_tens_of_tokens(const char* name) {
  const FormatCase format = format_of(name);
  const Way way = Way::opening;
  for (const std::int64_t tokens : {9, 31, 64}) {
    check_layer(format, {.tokens = tokens, .way = way, .shared = name});
    check_layer(format, {.tokens = tokens, .inner = 128, .wide = 128, .way = way, .shared = name});
    check_layer(
        format,
        {.tokens = tokens, .hidden = 256, .inner = 128, .wide = 768, .way = way, .shared = name});
    if (HasFailure()) return;
  }
  for (const std::int64_t tokens : {25, 32, 33}) {  // the second half moves behind 32
    check_layer(format,
                {.tokens = tokens, .wide = 1536, .experts = 64, .way = way, .shared = name});
  }
  check_layer(format, {.tokens = 40, .experts = 33, .way = way, .shared = name, .crowded = true});
  check_layer(format, {.tokens = 64,
                       .hidden = 2048,
                       .inner = 128,
                       .wide = 1536,
                       .experts = 64,
                       .way = way,
                       .shared = name});
}

TEST_F(CudaMoeLayer, MatchesTheFormulaForSomeTensOfTokensWhereTheSharedExpertIsInFourBits) {
  const Way way = Way::opening;
  for (const char* name : {"nvfp4_multiplies", "nvfp4_divides", "nvfp4_least"}) {
    check_tens_of_tokens(name);
    if (HasFailure()) return;
    check_layer(format_of("int4_g32"), {.tokens = 40, .way = way, .shared = name});
  }
}

TEST_F(CudaMoeLayer, MatchesTheFormulaInFp8) {
  for (const char* name : {"fp8_block", "fp8_channel"}) {
    const FormatCase format = format_of(name);
    for (const std::int64_t tokens : {1, 2, 4, 5, 8}) {
      check_layer(format, {.tokens = tokens, .wide = 256, .shared = name});
      check_layer(format, {.tokens = tokens, .wide = 256, .shared = name, .heads = 5120});
      if (HasFailure()) return;
    }
    check_layer(format, {.tokens = 3, .wide = 256, .experts = 1, .chosen = 1, .shared = name});
    check_layer(format, {.tokens = 5, .hidden = 1024, .inner = 512, .experts = 64, .shared = name});
    check_layer(format, {.tokens = 8, .inner = 768, .wide = 768, .shared = name, .crowded = true});
    check_layer(format, {.tokens = 2, .hidden = 640, .inner = 384, .wide = 384, .shared = name});
    if (HasFailure()) return;
  }
  for (const std::int64_t tokens : {1, 6, 8}) {
    check_layer(
        format_of("fp8_block"),
        {.tokens = tokens, .hidden = 2048, .inner = 1536, .wide = 1536, .shared = "fp8_block"});
  }
}

TEST_F(CudaMoeLayer, MatchesTheFormulaForSomeTensOfTokensInFp8) {
  const Way way = Way::opening;
  for (const char* name : {"fp8_block", "fp8_channel"}) {
    const FormatCase format = format_of(name);
    check_tens_of_tokens(name);
    if (HasFailure()) return;
    // Other experts than that of all tokens.
    check_layer(format, {.tokens = 40, .way = way});
    check_layer(format, {.tokens = 3, .way = way});
    check_layer(format, {.tokens = 3, .wide = 128, .way = way, .shared = name});
  }
}

TEST_F(CudaMoeLayer, MatchesTheFormulaForSomeTensOfTokensInTheDimensionsOfAModel) {
  check_layer(format_of("int4_g32"), {.tokens = 64,
                                      .hidden = 2048,
                                      .inner = 128,
                                      .wide = 1536,
                                      .experts = 64,
                                      .way = Way::opening});
}

// What a normed linear layer behind makes of the sum of experts, which it may norm by parts: the
// formula of what stands in `out` and `sum`.
void CudaMoeLayer::check_behind(const FormatCase& format, std::int64_t tokens,
                                std::int64_t rest_rows) {
  SCOPED_TRACE(testing::Message() << format.name << ", " << tokens << " and " << rest_rows);
  constexpr std::int64_t kHidden = 2048;
  constexpr std::int64_t kInner = 128;
  constexpr std::int64_t kExperts = 8;
  constexpr std::int64_t kChosen = 4;
  constexpr std::int64_t kFirst = 768;
  constexpr float kEps = 1e-5F;
  const FormatCase plain = format_of("bf16");
  const RandomWeight gate(format, kInner, kHidden, engine_, kExperts);
  const RandomWeight up(format, kInner, kHidden, engine_, kExperts);
  const RandomWeight down(format, kHidden, kInner, engine_, kExperts);
  const RandomWeight router(plain, kExperts, kHidden, engine_);
  const RandomWeight wide(plain, kInner, kHidden, engine_);
  const RandomWeight narrow(plain, kHidden, kInner, engine_);
  const RandomWeight first(format, kFirst, kHidden, engine_);
  const RandomWeight rest(format, std::max<std::int64_t>(rest_rows, 1), kHidden, engine_);
  const auto count = static_cast<std::size_t>(tokens * kHidden);
  const auto results = static_cast<std::size_t>(tokens * (kFirst + rest_rows));
  const auto rows = [&](void* memory) {
    return TensorView(memory, Dtype::bf16, {tokens, kHidden});
  };
  const Bits norm = random(kHidden, 0.25F);
  const Bits residual = random(tokens * kHidden);
  ASSERT_TRUE(gpu_->reserve({.tokens = tokens,
                             .chosen = kChosen,
                             .experts = kExperts,
                             .hidden = kHidden,
                             .inner = kInner})
                  .ok());
  const MoeLayer layer{
      .out = rows(poisoned(count * 2)),
      .x = rows(device(random(tokens * kHidden, 0.25F))),
      .router = on_device(router).expert(0),
      .bias = {device(random_floats(kExperts, 0.3F)), Dtype::f32, {kExperts}},
      .gate = on_device(gate),
      .up = on_device(up),
      .down = on_device(down),
      .shared = {.gate = on_device(wide).expert(0),
                 .up = on_device(wide).expert(0),
                 .down = on_device(narrow).expert(0),
                 .inner = {poisoned(static_cast<std::size_t>(tokens * kInner) * 2),
                           Dtype::bf16,
                           {tokens, kInner}},
                 .out = rows(poisoned(count * 2))},
      .logits = {poisoned(static_cast<std::size_t>(tokens * kExperts) * 4),
                 Dtype::f32,
                 {tokens, kExperts}},
      .ids = {poisoned(static_cast<std::size_t>(tokens * kChosen) * 4),
              Dtype::i32,
              {tokens, kChosen}},
      .weights = {
          poisoned(static_cast<std::size_t>(tokens * kChosen) * 4), Dtype::f32, {tokens, kChosen}}};
  const NormedLinear behind{
      .out = {poisoned(results * 2), Dtype::bf16, {tokens, kFirst + rest_rows}},
      .norm = {.out = rows(poisoned(count * 2)),
               .x = layer.out,
               .weight = {device(norm), Dtype::bf16, {kHidden}},
               .residual = rows(device(residual)),
               .sum = rows(poisoned(count * 2)),
               .eps = kEps},
      .weight = on_device(first).expert(0),
      .rest = rest_rows > 0 ? on_device(rest).expert(0) : WeightView{}};
  gpu_->moe_layer(layer);
  const Bits alone = back<std::uint16_t>(layer.out.data, count);
  const auto both = [&] {
    gpu_->moe_layer(layer);
    gpu_->normed_linear(behind);
  };
  both();
  const Bits out = back<std::uint16_t>(layer.out.data, count);
  EXPECT_EQ(out, alone);
  const Bits sum = back<std::uint16_t>(behind.norm.sum.data, count);
  for (std::size_t i = 0; i < count; ++i) {
    ASSERT_EQ(sum[i], f32_to_bf16(bf16_to_f32(out[i]) + bf16_to_f32(residual[i]))) << i;
  }
  const Bits bits = back<std::uint16_t>(behind.out.data, results);
  // Of more tokens than the norm's halves are for, the sum is normed as a whole.
  if (tokens > 64) {
    const Bits whole = back<std::uint16_t>(behind.norm.out.data, count);
    gpu_->rms_norm(
        {.out = behind.norm.out, .x = behind.norm.sum, .weight = behind.norm.weight, .eps = kEps});
    EXPECT_EQ(back<std::uint16_t>(behind.norm.out.data, count), whole);
  }
  const Floats got = floats(bits);
  const Doubles x = normed(floats(sum), floats(norm), kEps);
  for (std::int64_t t = 0; t < tokens; ++t) {
    Doubles want = times(first.decoded(0), x.data() + t * kHidden, kFirst, kHidden);
    const Doubles more = times(rest.decoded(0), x.data() + t * kHidden, rest_rows, kHidden);
    want.insert(want.end(), more.begin(), more.end());
    double error = 0;
    double size = 0;
    for (std::size_t o = 0; o < want.size(); ++o) {
      error += std::pow(got[static_cast<std::size_t>(t) * want.size() + o] - want[o], 2);
      size += std::pow(want[o], 2);
    }
    ASSERT_LE(std::sqrt(error), 1e-2 * std::sqrt(size)) << "token " << t;
  }
  const std::unique_ptr<Recording> recording = gpu_->record(both);
  ASSERT_NE(recording, nullptr);
  gpu_->replay(*recording);
  EXPECT_EQ(back<std::uint16_t>(behind.out.data, results), bits);
  forget();
}

TEST_F(CudaMoeLayer, LeavesItsSumToANormedLinearLayerBehind) {
  for (const char* format : {"int4_g32", "nvfp4_multiplies", "int4_g128", "fp8_block"}) {
    for (const std::int64_t tokens : {3, 9, 17, 64, 97}) {
      for (const std::int64_t rest_rows : {0, 576}) {
        check_behind(format_of(format), tokens, rest_rows);
        if (HasFailure()) return;
      }
    }
  }
}

TEST_F(CudaMoeLayer, MatchesTheFormulaWhereOneKernelDoesNot) {
  const FormatCase format = format_of("int4_g32");
  const Way way = Way::pieces;
  check_layer(format, {.tokens = 9, .hidden = 576, .way = way});
  check_layer(format, {.tokens = 9, .experts = 32, .groups = 8, .groups_kept = 3, .way = way});
  check_layer(format, {.tokens = 3, .hidden = 576, .way = way});
  check_layer(format, {.tokens = 3, .wide = 264, .way = way});
  check_layer(format, {.tokens = 3, .inner = 72, .way = way});
  check_layer(format, {.tokens = 3, .way = way, .shared = "int4_g32"});
  check_layer(format, {.tokens = 3, .way = way, .shared = nullptr});
  check_layer(format, {.tokens = 2, .hidden = 5120, .way = way});
}

TEST_F(CudaMoeLayer, MatchesTheFormulaInFormatsThatOneKernelDoesNotTake) {
  const Way way = Way::opening;
  for (const char* format : {"bf16", "fp8_channel"}) {
    for (const std::int64_t tokens : {1, 3, 8, 20}) {
      check_layer(format_of(format), {.tokens = tokens, .way = way});
      check_layer(format_of(format), {.tokens = tokens, .inner = 192, .wide = 256, .way = way});
      if (HasFailure()) return;
    }
  }
  check_layer(format_of("bf16"),
              {.tokens = 1, .hidden = 2048, .inner = 1536, .wide = 1536, .way = way});
}

}  // namespace
}  // namespace glm::kernels
