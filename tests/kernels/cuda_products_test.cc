// linear, head_linear and moe_mlp on a GPU: every variant, every memory format, against the formula
// in double precision on the weights as the reference decodes them.
//
// Tolerances, per element, with size = sum |x| |w|: accumulation 4e-6 * size; where tensor cores
// round weights that are no bf16 numbers, 2^-8 * size more, twice that in fp8, where scales are
// rounded as well; one rounding of the result to bf16. And the L2 error of each matrix stays under
// 5e-3 of the L2 norm of its terms x w, 2^-7 where weights are rounded (mixture of experts, whose
// inner activations are bf16: 8e-3 of a token's result).
#include <cmath>
#include <numeric>
#include <utility>

#include "kernels/cuda/device_weight.h"
#include "kernels/cuda/product.h"
#include "tests/kernels/cuda_fixture.h"
#include "tests/kernels/random_weight.h"

namespace glm::kernels {
namespace {

constexpr const char* kVariants[] = {"naive", "stream", "tiles", "bulk",      "wgmma", "split",
                                     "flow",  "ring",   "held",  "held_wide", "pairs", "groups"};
constexpr std::int64_t kFlowTokensMax = 64;
constexpr std::int64_t kGuard = 3;  // columns beyond a row that nobody may touch

struct Shape {
  std::int64_t tokens;
  std::int64_t inputs;
  std::int64_t outputs;
};

// whole: every eight of them lie in sixteen bytes, and there is no bias, as in most layers.
enum class Results { ragged, whole };

enum class Routing { spread, crowded };  // crowded: all tokens have expert 0

struct MoeCase {
  std::int64_t tokens;
  std::int64_t hidden;
  std::int64_t inner;
  std::int64_t experts;
  std::int64_t chosen;
  Routing routing = Routing::spread;
  bool shared = false;
  float size = 1;  // of activations
};

// What tells the variants apart: tails of all three, and sizes no vector divides.
const std::vector<Shape> kFewShapes = {{1, 1, 1},    {2, 7, 7},     {3, 33, 17},
                                       {9, 96, 129}, {33, 264, 33}, {65, 128, 130}};

std::vector<Shape> many_shapes() {
  std::vector<Shape> shapes = kFewShapes;
  for (const std::int64_t inputs : {2, 31, 32, 40, 64, 127, 128, 129, 160, 512, 2048}) {
    shapes.push_back({1, inputs, 129});
    shapes.push_back({7, inputs, 32});
    shapes.push_back({33, inputs, 31});
    shapes.push_back({129, inputs, 127});
  }
  for (const std::int64_t tokens : {8, 16, 31, 32, 63, 64, 128}) {
    shapes.push_back({tokens, 96, 65});
    shapes.push_back({tokens, 384, 272});
  }
  // More rows than a tile of warpgroups has, and outputs beyond one or none of its blocks.
  shapes.push_back({193, 256, 200});
  shapes.push_back({400, 768, 36});
  shapes.push_back({130, 2048, 264});
  shapes.push_back({9, 768, 300});
  shapes.push_back({50, 5120, 100});
  // Few rows of long sums: warps hold shares of the columns.
  for (const std::int64_t tokens : {1, 2, 4, 5, 8}) {
    shapes.push_back({tokens, 5120, 41});
    shapes.push_back({tokens, 2176, 16});
    shapes.push_back({tokens, 2048, 33});
  }
  return shapes;
}

// Where in a weight the rows of each head are.
struct Heads {
  std::int64_t count = 3;
  std::int64_t rows_before = 0;
  std::int64_t rows_after = 0;
  HeadOrder order = HeadOrder::as_stored;
};

class CudaProducts : public CudaTest {
 protected:
  void SetUp() override {
    CudaTest::SetUp();
    if (gpu_ == nullptr) return;
    for (const char* variant : kVariants) variants_.push_back(open(variant));
  }

  WeightView on_device(const RandomWeight& weight) { return experts_on_device(weight).expert(0); }
  ExpertsView experts_on_device(const RandomWeight& weight) {
    ExpertsView view = weight.host();
    for (const WeightPart part : kAllWeightParts) {
      const auto i = static_cast<std::size_t>(part);
      if (view.parts[i] != nullptr) view.parts[i] = device(weight.part(part));
    }
    return view;
  }

  // Each part of the first in front of that of the second: some kernels care whose is.
  std::pair<ExpertsView, ExpertsView> side_by_side(const RandomWeight& first,
                                                   const RandomWeight& second);

  void check_linear(const FormatCase& format, const Shape& shape,
                    Results results = Results::ragged);
  void check_gated_linear(const FormatCase& gate, const FormatCase& up, const Shape& shape);
  void check_head_linear(const FormatCase& format, const Shape& shape, const Heads& heads);
  void check_moe(const FormatCase& format, const MoeCase& c) { check_moe(format, format, c); }
  // The second half may have a format of its own.
  void check_moe(const FormatCase& format, const FormatCase& second, const MoeCase& c);
  bool left_out(std::size_t v) const { return !only_.empty() && kVariants[v] != only_; }

  std::vector<std::unique_ptr<Ops>> variants_;
  std::string_view only_;  // empty: all variants are checked
};

std::pair<ExpertsView, ExpertsView> CudaProducts::side_by_side(const RandomWeight& first,
                                                               const RandomWeight& second) {
  constexpr std::size_t kApart = 256;
  std::pair<ExpertsView, ExpertsView> views{first.host(), second.host()};
  for (const WeightPart part : kAllWeightParts) {
    RandomWeight::Bytes both = first.part(part);
    both.resize((both.size() + kApart - 1) / kApart * kApart);
    const std::size_t behind = both.size();
    both.insert(both.end(), second.part(part).begin(), second.part(part).end());
    if (both.empty()) continue;
    auto* memory = static_cast<std::uint8_t*>(device(both));
    const auto i = static_cast<std::size_t>(part);
    if (views.first.parts[i] != nullptr) views.first.parts[i] = memory;
    if (views.second.parts[i] != nullptr) views.second.parts[i] = memory + behind;
  }
  return views;
}

struct Wanted {
  std::vector<double> value;
  std::vector<double> size;
  double squares = 0;  // of all terms of all values
};

// x [tokens, inputs] with a stride, w [outputs, inputs].
Wanted product(const Floats& x, std::int64_t x_stride, const Floats& w, const Shape& shape,
               const Floats& bias) {
  Wanted wanted;
  for (std::int64_t t = 0; t < shape.tokens; ++t) {
    for (std::int64_t o = 0; o < shape.outputs; ++o) {
      double sum = bias.empty() ? 0.0 : bias[static_cast<std::size_t>(o)];
      double size = std::abs(sum);
      for (std::int64_t i = 0; i < shape.inputs; ++i) {
        const double term = static_cast<double>(x[static_cast<std::size_t>(t * x_stride + i)]) *
                            static_cast<double>(w[static_cast<std::size_t>(o * shape.inputs + i)]);
        sum += term;
        size += std::abs(term);
        wanted.squares += term * term;
      }
      wanted.value.push_back(sum);
      wanted.size.push_back(size);
    }
  }
  return wanted;
}

// How far from itself a weight is, relatively, that tensor cores multiply: rounding to bf16 changes
// a number by 2^-8 of it at most, and of e4m3 the scale is rounded as well as what comes of both.
double rounding_of(const WeightLayout& layout) {
  if (layout.exact_in_bf16()) return 0;
  return layout.format == WeightFormat::fp8 ? 0x1p-7 + 0x1p-16 : 0x1p-8;
}

struct Compared {
  double weights_rounded = 0;
  bool out_f32 = false;
};

void expect_close(const Floats& got, std::int64_t stride, const Wanted& wanted, const Shape& shape,
                  const Compared& how) {
  double error = 0;
  double norm = 0;
  for (std::int64_t t = 0; t < shape.tokens; ++t) {
    for (std::int64_t o = 0; o < stride; ++o) {
      const double value = got[static_cast<std::size_t>(t * stride + o)];
      if (o >= shape.outputs) {
        ASSERT_TRUE(std::isnan(value)) << "wrote beyond the row of token " << t;
        continue;
      }
      const auto at = static_cast<std::size_t>(t * shape.outputs + o);
      double tolerance = (how.weights_rounded + 4e-6) * wanted.size[at] + 1e-30;
      if (!how.out_f32) tolerance += std::abs(wanted.value[at]) * 0x1p-8;
      ASSERT_NEAR(value, wanted.value[at], tolerance) << "token " << t << " output " << o;
      error += (value - wanted.value[at]) * (value - wanted.value[at]);
      norm += wanted.value[at] * wanted.value[at];
    }
  }
  // Of sums that cancel, the terms say how large an error may be; a sum of one term may be rounded
  // by 2^-8 twice, as the weight and as the result.
  const double part = how.weights_rounded > 0 ? 0x1p-7 : 5e-3;
  EXPECT_LE(error, part * part * std::max(norm, wanted.squares));
}

void CudaProducts::check_linear(const FormatCase& format, const Shape& shape, Results results) {
  const RandomWeight weight(format, shape.outputs, shape.inputs, engine_);
  const std::int64_t x_stride = (shape.inputs + 7) / 8 * 8 + 8;
  const Bits x = random(shape.tokens * x_stride);
  const bool whole = results == Results::whole;
  const Floats bias = whole ? Floats{} : random_floats(shape.outputs);
  const Wanted wanted = product(floats(x), x_stride, weight.decoded(0), shape, bias);
  const void* x_memory = device(x);
  const ConstTensorView bias_view =
      whole ? ConstTensorView() : ConstTensorView(device(bias), Dtype::f32, {shape.outputs});
  const WeightView view = on_device(weight);
  const std::int64_t stride = shape.outputs + (whole ? 8 : kGuard);
  const auto count = static_cast<std::size_t>(shape.tokens * stride);
  for (std::size_t v = 0; v < variants_.size(); ++v) {
    if (left_out(v)) continue;
    for (const Dtype dtype : {Dtype::bf16, Dtype::f32}) {
      SCOPED_TRACE(testing::Message() << kVariants[v] << " " << format.name << " " << shape.tokens
                                      << " x " << shape.inputs << " -> " << shape.outputs);
      void* out = poisoned(count * 4);
      variants_[v]->linear(
          {.out = TensorView(out, dtype, {shape.tokens, stride}).slice(1, 0, shape.outputs),
           .x = ConstTensorView(x_memory, Dtype::bf16, {shape.tokens, x_stride})
                    .slice(1, 0, shape.inputs),
           .weight = view,
           .bias = bias_view});
      const Floats got = dtype == Dtype::f32
                             ? back<float>(*variants_[v], out, count)
                             : floats(back<std::uint16_t>(*variants_[v], out, count));
      expect_close(got, stride, wanted, shape,
                   {.weights_rounded = v > 0 ? rounding_of(weight.layout()) : 0,
                    .out_f32 = dtype == Dtype::f32});
      if (HasFailure()) return;
    }
  }
  forget();
}

double silu(double x) {
  return x / (1.0 + std::exp(-x));
}

void CudaProducts::check_gated_linear(const FormatCase& gate_format, const FormatCase& up_format,
                                      const Shape& shape) {
  const RandomWeight gate(gate_format, shape.outputs, shape.inputs, engine_);
  const RandomWeight up(up_format, shape.outputs, shape.inputs, engine_);
  const std::int64_t x_stride = (shape.inputs + 7) / 8 * 8 + 8;
  const Bits x = random(shape.tokens * x_stride, 0.5F);
  const Wanted g = product(floats(x), x_stride, gate.decoded(0), shape, {});
  const Wanted u = product(floats(x), x_stride, up.decoded(0), shape, {});
  const void* x_memory = device(x);
  const bool gate_first = shape.tokens % 2 != 0;
  const auto views = gate_first ? side_by_side(gate, up) : side_by_side(up, gate);
  const WeightView gate_view = (gate_first ? views.first : views.second).expert(0);
  const WeightView up_view = (gate_first ? views.second : views.first).expert(0);
  const std::int64_t stride = shape.outputs + kGuard;
  const auto count = static_cast<std::size_t>(shape.tokens * stride);
  for (std::size_t v = 0; v < variants_.size(); ++v) {
    if (left_out(v)) continue;
    SCOPED_TRACE(testing::Message()
                 << kVariants[v] << " " << gate_format.name << " and " << up_format.name << " "
                 << shape.tokens << " x " << shape.inputs << " -> " << shape.outputs);
    void* out = poisoned(count * 2);
    variants_[v]->gated_linear(
        {.out = TensorView(out, Dtype::bf16, {shape.tokens, stride}).slice(1, 0, shape.outputs),
         .x = ConstTensorView(x_memory, Dtype::bf16, {shape.tokens, x_stride})
                  .slice(1, 0, shape.inputs),
         .gate = gate_view,
         .up = up_view});
    const Floats got = floats(back<std::uint16_t>(*variants_[v], out, count));
    const auto rounding = [&](const RandomWeight& weight) {
      return (v > 0 ? rounding_of(weight.layout()) : 0) + 4e-6;
    };
    for (std::int64_t t = 0; t < shape.tokens; ++t) {
      for (std::int64_t o = 0; o < stride; ++o) {
        const double value = got[static_cast<std::size_t>(t * stride + o)];
        if (o >= shape.outputs) {
          ASSERT_TRUE(std::isnan(value)) << "wrote beyond the row of token " << t;
          continue;
        }
        const auto at = static_cast<std::size_t>(t * shape.outputs + o);
        const double want = silu(g.value[at]) * u.value[at];
        const double g_error = rounding(gate) * g.size[at];
        const double u_error = rounding(up) * u.size[at];
        // The slope of silu stays under 1.1.
        const double tolerance = 1.1 * g_error * (std::abs(u.value[at]) + u_error) +
                                 std::abs(silu(g.value[at])) * u_error + std::abs(want) * 0x1p-8;
        ASSERT_NEAR(value, want, tolerance + 1e-6) << "token " << t << " output " << o;
      }
    }
    if (HasFailure()) return;
  }
  forget();
}

void CudaProducts::check_head_linear(const FormatCase& format, const Shape& shape,
                                     const Heads& heads) {
  const bool turned = heads.order == HeadOrder::transposed;
  const std::int64_t rows = turned ? shape.inputs : shape.outputs;
  const std::int64_t cols = turned ? shape.outputs : shape.inputs;
  const std::int64_t head_rows = heads.rows_before + rows + heads.rows_after;
  const RandomWeight weight(format, heads.count * head_rows, cols, engine_);
  const std::int64_t x_width = (shape.inputs + 7) / 8 * 8 + 8;
  const Bits x = random(shape.tokens * heads.count * x_width);
  const Floats x_floats = floats(x);
  const Floats w = weight.decoded(0);
  const std::int64_t width = shape.outputs + kGuard;
  const auto count = static_cast<std::size_t>(shape.tokens * heads.count * width);
  const void* x_memory = device(x);
  const WeightView view = on_device(weight);
  for (std::size_t v = 0; v < variants_.size(); ++v) {
    if (left_out(v)) continue;
    SCOPED_TRACE(testing::Message()
                 << kVariants[v] << " " << format.name << " " << shape.tokens << " x "
                 << heads.count << " x " << shape.inputs << " -> " << shape.outputs
                 << (turned ? " transposed" : "") << " after " << heads.rows_before << " rows");
    void* out = poisoned(count * 2);
    variants_[v]->head_linear(
        {.out = TensorView(out, Dtype::bf16, {shape.tokens, heads.count, width})
                    .slice(2, 0, shape.outputs),
         .x = ConstTensorView(x_memory, Dtype::bf16, {shape.tokens, heads.count, x_width})
                  .slice(2, 0, shape.inputs),
         .weight = view,
         .head_rows = head_rows,
         .first_row = heads.rows_before,
         .order = heads.order});
    const Floats got = floats(back<std::uint16_t>(*variants_[v], out, count));
    for (std::int64_t h = 0; h < heads.count; ++h) {
      Floats own_x;
      Floats own;
      for (std::int64_t t = 0; t < shape.tokens; ++t) {
        const std::int64_t from = t * heads.count + h;
        own_x.insert(own_x.end(), x_floats.begin() + from * x_width,
                     x_floats.begin() + (from + 1) * x_width);
        own.insert(own.end(), got.begin() + from * width, got.begin() + (from + 1) * width);
      }
      const std::int64_t first = h * head_rows + heads.rows_before;
      Floats own_w;
      for (std::int64_t o = 0; o < shape.outputs; ++o) {
        for (std::int64_t i = 0; i < shape.inputs; ++i) {
          const std::int64_t at = turned ? (first + i) * cols + o : (first + o) * cols + i;
          own_w.push_back(w[static_cast<std::size_t>(at)]);
        }
      }
      expect_close(own, width, product(own_x, x_width, own_w, shape, {}), shape,
                   {.weights_rounded = v > 0 ? rounding_of(weight.layout()) : 0});
    }
    if (HasFailure()) return;
  }
  forget();
}

TEST_F(CudaProducts, SmallLinearsMatchTheFormulaInEveryFormat) {
  for (const FormatCase& format : all_formats()) {
    for (const Shape& shape : kFewShapes) {
      check_linear(format, shape);
      if (HasFailure()) return;
    }
  }
}

TEST_F(CudaProducts, LinearMatchesTheFormulaForEveryShape) {
  for (const FormatCase& format : all_formats()) {
    const bool hot = format.name == "bf16" || format.name == "int4_g32" ||
                     format.name == "int4_g32_zeros" || format.name == "fp8_block" ||
                     format.name == "nvfp4_divides" || format.name == "mxfp4";
    if (!hot) continue;
    for (const Shape& shape : many_shapes()) {
      check_linear(format, shape);
      if (HasFailure()) return;
    }
  }
}

// In the variants that want nvfp4, not mxfp4.
TEST_F(CudaProducts, LinearMatchesTheFormulaInNvfp4) {
  for (const FormatCase& format : all_formats()) {
    if (!format.name.starts_with("nvfp4")) continue;
    for (const std::int64_t tokens : {9, 16, 31, 32, 33, 64}) {
      only_ = "pairs";
      check_linear(format, {tokens, 256, 64});
      check_linear(format, {tokens, 768, 300});
      check_linear(format, {tokens, 2048, 129});
      if (HasFailure()) return;
    }
    check_linear(format, {40, 5120, 100});
    check_head_linear(format, {40, 512, 256}, {.rows_before = 192});
    only_ = "held";
    for (const std::int64_t tokens : {1, 2, 4, 5, 8}) {
      check_linear(format, {tokens, 5120, 41});
      check_linear(format, {tokens, 2176, 16});
      check_linear(format, {tokens, 2048, 33});
      if (HasFailure()) return;
    }
  }
}

TEST_F(CudaProducts, GatedLinearMatchesTheFormulaInEveryPairOfFormats) {
  const std::vector<FormatCase> formats = all_formats();
  for (std::size_t i = 0; i < formats.size(); ++i) {
    for (const Shape& shape : kFewShapes) {
      check_gated_linear(formats[i], formats[i], shape);
      check_gated_linear(formats[i], formats[(i + 1) % formats.size()], shape);
      if (HasFailure()) return;
    }
  }
  // Scales that are laid out differently, in variants that multiply both at once.
  for (const Shape& shape : {Shape{5, 256, 64}, {40, 128, 136}}) {
    check_gated_linear(format_of("fp8_block"), format_of("fp8_channel"), shape);
    check_gated_linear(format_of("fp8_channel"), format_of("fp8_block"), shape);
    if (HasFailure()) return;
  }
  for (const Shape& shape : many_shapes()) {
    check_gated_linear(formats[2], formats[2], shape);
    check_gated_linear(formats[3], formats[3], shape);
    if (HasFailure()) return;
  }
}

// What warpgroups multiply but for bf16.
std::vector<FormatCase> warpgroup_formats() {
  const auto int4 = [](const char* name, std::int64_t group, bool zeros) {
    return FormatCase{name, {.format = WeightFormat::int4_group, .group = group, .zeros = zeros}};
  };
  std::vector<FormatCase> formats = {
      int4("int4_g64", 64, false),          int4("int4_g64_zeros", 64, true),
      int4("int4_g128_zeros", 128, true),   int4("int4_g256", 256, false),
      int4("int4_g1024_zeros", 1024, true),
  };
  for (const std::int64_t group : {32, 64, 128}) {
    for (const bool zeros : {false, true}) {
      FormatCase half = int4(zeros ? "int4_f16_zeros" : "int4_f16", group, zeros);
      half.layout.scale_dtype = Dtype::f16;
      formats.push_back(half);
    }
  }
  for (const FormatCase& format : all_formats()) {
    const bool other = format.name == "int4_g32" || format.name == "int4_g32_zeros" ||
                       format.name == "int4_g128" || format.name == "nvfp4_divides" ||
                       format.name == "mxfp4" || format.name == "fp8_channel" ||
                       format.name == "fp8_block";
    if (other) formats.push_back(format);
  }
  return formats;
}

// Where warpgroups take products at all, those of more than 64 rows in these go there: nothing is
// read here.
TEST_F(CudaProducts, WarpgroupsTakeFourBitsOfAnyGroupAndFp8) {
  alignas(16) static constexpr std::byte kMemory[16] = {};
  const auto taken_by = [](WeightLayout layout, std::int64_t rows) {
    layout.rows = 2048;
    const void* memory = kMemory;
    const WeightView view{.layout = layout,
                          .data = memory,
                          .scales = memory,
                          .zeros = layout.zeros ? memory : nullptr,
                          .global = memory};
    const cuda::Product product{.out = const_cast<std::byte*>(kMemory),
                                .x = memory,
                                .weight = cuda::device_weights(view),
                                .out_stride = layout.rows,
                                .x_stride = layout.cols,
                                .rows = rows,
                                .outputs = layout.rows,
                                .inputs = layout.cols};
    return cuda::choose_variant(product, "").name;
  };
  if (taken_by({.format = WeightFormat::bf16, .cols = 2048}, 512) != "wgmma") {
    GTEST_SKIP() << "no warpgroups";
  }
  for (const FormatCase& format : warpgroup_formats()) {
    for (const std::int64_t cols : {128, 1408, 1536, 2048}) {
      WeightLayout layout = format.layout;
      layout.cols = cols;
      if (layout.group == 0) layout.group = cols;
      for (const std::int64_t rows : {65, 200, 512}) {
        EXPECT_EQ(taken_by(layout, rows), "wgmma")
            << format.name << ", " << rows << " x " << cols << " columns";
      }
      EXPECT_NE(taken_by(layout, 64), "wgmma") << format.name << ", " << cols << " columns";
    }
  }
}

// Rows of scales that are and are no multiples of sixteen bytes; tiles of all sizes.
TEST_F(CudaProducts, WarpgroupsMatchTheFormulaInFourBitsOfAnyGroupAndFp8) {
  only_ = "wgmma";
  for (const FormatCase& format : warpgroup_formats()) {
    for (const Shape& shape : {Shape{9, 128, 130}, Shape{70, 384, 200}, Shape{193, 512, 136},
                               Shape{400, 1408, 72}, Shape{130, 1536, 264}, Shape{70, 2048, 136}}) {
      check_linear(format, shape);
      if (HasFailure()) return;
    }
    check_gated_linear(format, format, {193, 384, 136});
    check_gated_linear(format, format, {70, 1536, 136});
    check_head_linear(format, {40, 512, 72}, {.rows_before = 12, .rows_after = 4});
    if (HasFailure()) return;
  }
}

// Tiles of 64 and of 128 rows whose columns two or four blocks share out, where a device has 132
// multiprocessors. The last block's rows are missing, or some of them.
TEST_F(CudaProducts, WarpgroupsInClustersMatchTheFormula) {
  only_ = "wgmma";
  struct Case {
    const char* format;
    Shape shape;
  };
  for (const auto& [name, shape] :
       {Case{"int4_g32", {70, 1792, 72}}, Case{"int4_g32", {70, 5120, 2056}},
        Case{"bf16", {200, 1792, 72}}, Case{"bf16", {100, 5120, 2056}},
        Case{"nvfp4_divides", {70, 1280, 72}}, Case{"nvfp4_divides", {127, 2560, 2056}},
        Case{"nvfp4_divides", {70, 3584, 4304}}, Case{"fp8_block", {70, 1280, 136}},
        Case{"fp8_block", {97, 2048, 2056}}, Case{"fp8_block", {70, 2560, 4304}}}) {
    check_linear(format_of(name), shape);
    check_linear(format_of(name), shape, Results::whole);
    if (HasFailure()) return;
  }
  check_gated_linear(format_of("int4_g32"), format_of("int4_g32"), {70, 1792, 72});
  check_head_linear(format_of("int4_g32"), {70, 1024, 72}, {.rows_before = 12, .rows_after = 4});
}

// More outputs than all blocks have in one tile, and columns that blocks share out.
TEST_F(CudaProducts, FlowMatchesTheFormulaForManyOutputsAndLongSums) {
  only_ = "flow";
  for (const FormatCase& format : all_formats()) {
    if (format.name != "bf16" && format.name != "fp8_channel" && format.name != "fp8_block") {
      continue;
    }
    const std::int64_t few = format.name == "bf16" ? 72 : 128;  // columns
    for (const Shape& shape :
         {Shape{1, few, 33900}, Shape{11, few, 34100}, Shape{1, 10240, 300}, Shape{64, 5120, 128},
          Shape{33, 10240, 130}, Shape{8, 1024, 2048}, Shape{50, few, 9000}}) {
      check_linear(format, shape);
      if (HasFailure()) return;
    }
    for (const Shape& shape : {Shape{1, few, 17000}, Shape{64, few, 17096}, Shape{5, 2048, 1064},
                               Shape{34, 256, 10240}}) {
      check_gated_linear(format, format, shape);
      if (HasFailure()) return;
    }
  }
  check_linear(all_formats()[2], {2, 8, 67601});
}

TEST_F(CudaProducts, LinearDoesNothingForNoTokens) {
  const RandomWeight weight(all_formats()[2], 5, 8, engine_);
  gpu_->linear({.out = {poisoned(16), Dtype::bf16, {0, 5}},
                .x = {poisoned(16), Dtype::bf16, {0, 8}},
                .weight = on_device(weight)});
  EXPECT_TRUE(gpu_->sync().ok());
}

TEST_F(CudaProducts, RowsOfBlockScaledWeightsMayBeCutAnywhere) {
  for (const FormatCase& format : all_formats()) {
    if (format.name != "fp8_block_small" && format.name != "fp8_tensor") continue;
    const std::int64_t rows = 31;
    const std::int64_t cols = 72;
    const RandomWeight weight(format, rows, cols, engine_);
    const Floats all = weight.decoded(0);
    const Bits x = random(2 * cols);
    const void* x_memory = device(x);
    const WeightView view = on_device(weight);
    for (const std::int64_t first : {0, 1, 4, 5, 13}) {
      const Shape shape{2, cols, rows - first};
      const Floats part(all.begin() + first * cols, all.end());
      const Wanted wanted = product(floats(x), cols, part, shape, {});
      for (std::size_t v = 0; v < variants_.size(); ++v) {
        void* out = poisoned(static_cast<std::size_t>(2 * shape.outputs) * 4);
        variants_[v]->linear({.out = {out, Dtype::f32, {2, shape.outputs}},
                              .x = {x_memory, Dtype::bf16, {2, cols}},
                              .weight = view.row_slice(first, shape.outputs)});
        expect_close(
            back<float>(*variants_[v], out, static_cast<std::size_t>(2 * shape.outputs)),
            shape.outputs, wanted, shape,
            {.weights_rounded = v > 0 ? rounding_of(weight.layout()) : 0, .out_f32 = true});
      }
    }
  }
}

TEST_F(CudaProducts, SmallHeadLinearsMatchTheFormulaInEveryFormat) {
  for (const FormatCase& format : all_formats()) {
    for (const Shape& shape :
         {Shape{1, 24, 16}, Shape{3, 33, 17}, Shape{40, 64, 33}, Shape{5, 192, 40}}) {
      check_head_linear(format, shape, {});
      if (HasFailure()) return;
      check_head_linear(format, shape, {.rows_before = 11, .rows_after = 4});
      if (HasFailure()) return;
    }
  }
}

TEST_F(CudaProducts, TransposedHeadLinearsMatchTheFormulaInEveryFormat) {
  for (const FormatCase& format : all_formats()) {
    for (const Shape& shape :
         {Shape{1, 1, 1}, Shape{1, 24, 16}, Shape{3, 33, 17}, Shape{17, 18, 72}, Shape{40, 64, 136},
          Shape{5, 192, 128}, Shape{1, 66, 192}}) {
      for (const std::int64_t rows : {0, 6, 13}) {
        check_head_linear(
            format, shape,
            {.rows_before = rows, .rows_after = rows / 2, .order = HeadOrder::transposed});
        if (HasFailure()) return;
      }
    }
  }
}

TEST_F(CudaProducts, TransposedHeadLinearsGiveATokenTheSameBitsInAnyCompany) {
  for (const FormatCase& format : {all_formats()[2], all_formats()[3]}) {
    const std::int64_t rows = 48;
    const std::int64_t cols = 96;
    const RandomWeight weight(format, 2 * rows, cols, engine_);
    const Bits x = random(37 * 2 * rows);
    const ConstTensorView tokens(device(x), Dtype::bf16, {37, 2, rows});
    const WeightView view = on_device(weight);
    for (std::size_t v = 0; v < variants_.size(); ++v) {
      void* all = poisoned(37 * 2 * cols * 2);
      void* one = poisoned(2 * cols * 2);
      const auto run = [&](void* out, const ConstTensorView& own) {
        variants_[v]->head_linear({.out = {out, Dtype::bf16, {own.size(0), 2, cols}},
                                   .x = own,
                                   .weight = view,
                                   .head_rows = rows,
                                   .order = HeadOrder::transposed});
      };
      run(all, tokens);
      const Bits together = back<std::uint16_t>(*variants_[v], all, 37 * 2 * cols);
      for (const std::int64_t t : {0, 15, 36}) {
        run(one, tokens.slice(0, t, 1));
        const Bits alone = back<std::uint16_t>(*variants_[v], one, 2 * cols);
        EXPECT_TRUE(std::equal(alone.begin(), alone.end(), together.begin() + t * 2 * cols))
            << kVariants[v] << " token " << t;
      }
    }
  }
}

TEST_F(CudaProducts, GiveATokenTheSameBitsInAnyCompany) {
  const std::int64_t inputs = 768;  // which variants share out
  const std::int64_t outputs = 37;
  for (const FormatCase& format : all_formats()) {
    if (format.name != "bf16" && format.name != "int4_g32" && format.name != "nvfp4_divides") {
      continue;
    }
    const RandomWeight weight(format, outputs, inputs, engine_);
    const Bits x = random(64 * inputs);
    const void* x_memory = device(x);
    const WeightView view = on_device(weight);
    for (std::size_t v = 0; v < variants_.size(); ++v) {
      const std::string_view name = kVariants[v];
      // At most, or of one form of the variant.
      const std::int64_t count = name == "held"        ? 8
                                 : name == "held_wide" ? 4
                                 : name == "pairs"     ? 32
                                                       : 64;
      void* all = poisoned(64 * 37 * 2);
      void* one = poisoned(37 * 2);
      const ConstTensorView tokens(x_memory, Dtype::bf16, {count, inputs});
      const auto together = [&] {
        variants_[v]->linear(
            {.out = {all, Dtype::bf16, {count, outputs}}, .x = tokens, .weight = view});
        return back<std::uint16_t>(*variants_[v], all, static_cast<std::size_t>(count * outputs));
      };
      const Bits wanted = together();
      for (int again = 0; again < 20; ++again) EXPECT_EQ(together(), wanted) << kVariants[v];
      for (const std::int64_t t : {std::int64_t{0}, count / 2, count - 1}) {
        variants_[v]->linear(
            {.out = {one, Dtype::bf16, {1, outputs}}, .x = tokens.slice(0, t, 1), .weight = view});
        const Bits alone = back<std::uint16_t>(*variants_[v], one, 37);
        EXPECT_TRUE(std::equal(alone.begin(), alone.end(), wanted.begin() + t * outputs))
            << kVariants[v] << " token " << t;
      }
    }
  }
}

void CudaProducts::check_moe(const FormatCase& format, const FormatCase& second, const MoeCase& c) {
  const auto [tokens, hidden, inner, experts, chosen, routing, with_shared, size] = c;
  const RandomWeight gate(format, inner, hidden, engine_, experts);
  const RandomWeight up(format, inner, hidden, engine_, experts);
  const RandomWeight down(second, hidden, inner, engine_, experts);
  const Bits x = random(tokens * hidden, size);
  const Bits shared = random(tokens * hidden, 4.0F);
  std::vector<std::int32_t> ids;
  Floats weights;
  for (std::int64_t t = 0; t < tokens; ++t) {
    std::vector<std::int32_t> all(static_cast<std::size_t>(experts));
    std::iota(all.begin(), all.end(), 0);
    std::shuffle(all.begin() + (routing == Routing::crowded ? 1 : 0), all.end(), engine_);
    for (std::int64_t j = 0; j < chosen; ++j) {
      ids.push_back(all[static_cast<std::size_t>(j)]);
      weights.push_back(std::abs(unit()));
    }
  }
  std::vector<double> wanted(static_cast<std::size_t>(tokens * hidden));
  if (with_shared) std::transform(shared.begin(), shared.end(), wanted.begin(), bf16_to_f32);
  const Floats x_floats = floats(x);
  for (std::int64_t e = 0; e < experts; ++e) {
    const Floats g = gate.decoded(e);
    const Floats u = up.decoded(e);
    const Floats d = down.decoded(e);
    for (std::size_t pair = 0; pair < ids.size(); ++pair) {
      if (ids[pair] != e) continue;
      const auto t = static_cast<std::int64_t>(pair) / chosen;
      const Floats own(x_floats.begin() + t * hidden, x_floats.begin() + (t + 1) * hidden);
      const Wanted a = product(own, hidden, g, {1, hidden, inner}, {});
      const Wanted b = product(own, hidden, u, {1, hidden, inner}, {});
      Floats h;
      for (std::size_t i = 0; i < a.value.size(); ++i) {
        h.push_back(static_cast<float>(silu(a.value[i]) * b.value[i]));
      }
      const Wanted y = product(h, inner, d, {1, inner, hidden}, {});
      for (std::int64_t o = 0; o < hidden; ++o) {
        wanted[static_cast<std::size_t>(t * hidden + o)] +=
            static_cast<double>(weights[pair]) * y.value[static_cast<std::size_t>(o)];
      }
    }
  }
  const void* x_memory = device(x);
  const void* shared_memory = device(shared);
  const void* ids_memory = device(ids);
  const void* weights_memory = device(weights);
  const bool gate_first = tokens % 2 != 0;
  const auto views = gate_first ? side_by_side(gate, up) : side_by_side(up, gate);
  const ExpertsView& gates = gate_first ? views.first : views.second;
  const ExpertsView& ups = gate_first ? views.second : views.first;
  const ExpertsView downs = experts_on_device(down);
  const auto count = static_cast<std::size_t>(tokens * hidden);
  for (std::size_t v = 0; v < variants_.size(); ++v) {
    if (left_out(v)) continue;
    SCOPED_TRACE(testing::Message()
                 << kVariants[v] << " " << format.name << ", " << second.name << " " << tokens
                 << " x " << hidden << " -> " << inner << ", " << chosen << " of " << experts
                 << (routing == Routing::crowded ? ", crowded" : ""));
    Ops& ops = *variants_[v];
    ASSERT_TRUE(ops.reserve({.tokens = tokens,
                             .chosen = chosen,
                             .experts = experts,
                             .hidden = hidden,
                             .inner = inner})
                    .ok());
    const auto run = [&](void* out, std::int64_t first, std::int64_t some) {
      const auto tokens_of = [&](const void* memory, Dtype dtype, std::int64_t width) {
        return ConstTensorView(memory, dtype, {tokens, width}).slice(0, first, some);
      };
      ops.moe_mlp({.out = TensorView(out, Dtype::bf16, {tokens, hidden}).slice(0, first, some),
                   .x = tokens_of(x_memory, Dtype::bf16, hidden),
                   .ids = tokens_of(ids_memory, Dtype::i32, chosen),
                   .weights = tokens_of(weights_memory, Dtype::f32, chosen),
                   .gate = gates,
                   .up = ups,
                   .down = downs,
                   .shared = with_shared ? tokens_of(shared_memory, Dtype::bf16, hidden)
                                         : ConstTensorView()});
      return back<std::uint16_t>(ops, out, count);
    };
    void* out = poisoned(count * 2);
    const Bits bits = run(out, 0, tokens);
    const Floats got = floats(bits);
    for (std::int64_t t = 0; t < tokens; ++t) {
      double error = 0;
      double norm = 0;
      for (std::int64_t o = 0; o < hidden; ++o) {
        const auto at = static_cast<std::size_t>(t * hidden + o);
        ASSERT_TRUE(std::isfinite(got[at])) << "token " << t << " column " << o;
        error += std::pow(got[at] - wanted[at], 2);
        norm += std::pow(wanted[at], 2);
      }
      // A single column has no others to make up for its rounding.
      const bool exact = gate.layout().exact_in_bf16() && down.layout().exact_in_bf16();
      const bool rounded = v > 0 && !exact;
      const double tolerance = rounded || hidden < 8 ? 3e-2 : 8e-3;
      const double least = 1e-6 * std::min(1.0, static_cast<double>(size * size));
      ASSERT_LE(std::sqrt(error), tolerance * std::sqrt(norm) + least) << "token " << t;
    }
    // Of more tokens another variant takes the place of this one.
    const bool gives_way = kVariants[v] == std::string_view("flow") && tokens > kFlowTokensMax;
    for (const std::int64_t t : {std::int64_t{0}, tokens / 2, tokens - 1}) {
      if (gives_way) continue;
      EXPECT_EQ(run(out, t, 1), bits) << "token " << t << " alone";
    }
    EXPECT_EQ(run(poisoned(count * 2), 0, tokens), bits) << "once more";
    if (HasFailure()) return;
  }
  forget();
}

TEST_F(CudaProducts, SmallMoeMlpsMatchTheFormulaInEveryFormat) {
  for (const FormatCase& format : all_formats()) {
    check_moe(format, {1, 64, 32, 6, 2});
    check_moe(format, {5, 33, 17, 6, 2, Routing::spread, true});
    check_moe(format, {19, 96, 72, 6, 2});
    if (HasFailure()) return;
  }
}

TEST_F(CudaProducts, MoeMlpMatchesTheFormulaForEveryShape) {
  for (const FormatCase& format : all_formats()) {
    if (format.name != "bf16" && format.name != "int4_g32") continue;
    for (const std::int64_t tokens : {1, 2, 7, 33, 129}) {
      check_moe(format, {tokens, 128, 96, 8, 4});
      check_moe(format, {tokens, 136, 40, 64, 4, Routing::spread, true});
      check_moe(format, {tokens, 32, 160, 1, 1});
      check_moe(format, {tokens, 160, 64, 33, 8});
      if (HasFailure()) return;
    }
  }
}

// All tokens of an expert at once, blocks with pieces of several experts, and without any.
TEST_F(CudaProducts, MoeMlpOfBf16MatchesTheFormulaHoweverTokensSpread) {
  only_ = "flow";
  const FormatCase format = format_of("bf16");
  for (const std::int64_t tokens : {1, 3, 8, 9, 17, 33, 64}) {
    check_moe(format, {tokens, 256, 128, 16, 4, Routing::spread, true});
    check_moe(format, {tokens, 512, 384, 5, 2, Routing::crowded});
    check_moe(format, {tokens, 160, 1040, 3, 2});
    if (HasFailure()) return;
  }
  check_moe(format, {24, 128, 128, 130, 8});
  check_moe(format, {64, 640, 1024, 16, 4});
  check_moe(format, {40, 2048, 1536, 2, 1, Routing::crowded});
}

// Few and small, for sanitizers.
TEST_F(CudaProducts, SmallMoeMlpsInSlabsMatchTheFormula) {
  for (const FormatCase& format : all_formats()) {
    if (format.name != "int4_g32" && format.name != "int4_g32_zeros" &&
        format.name != "int4_g64_f16_zeros" && format.name != "nvfp4_divides") {
      continue;
    }
    check_moe(format, {9, 256, 256, 4, 2});
    check_moe(format, {1, 128, 128, 3, 2});
    check_moe(format, {19, 128, 256, 4, 2, Routing::crowded, true});
    check_moe(format, {40, 256, 128, 2, 1});
    if (HasFailure()) return;
  }
}

// Shapes that bulk copies of slabs can and cannot take, more tokens of an expert than a tile has,
// and experts without any.
TEST_F(CudaProducts, MoeMlpOfFourBitsMatchesTheFormulaHoweverTokensSpread) {
  for (const FormatCase& format : all_formats()) {
    const bool bulk = format.name == "int4_g32" || format.name == "int4_g32_zeros" ||
                      format.name == "int4_g128" || format.name == "int4_g64_f16_zeros" ||
                      format.name.starts_with("nvfp4") || format.name == "mxfp4";
    if (!bulk) continue;
    for (const std::int64_t tokens : {1, 3, 8, 9, 16, 17, 32, 33, 64, 100, 256}) {
      check_moe(format, {tokens, 256, 128, 16, 4, Routing::spread, true});
      check_moe(format, {tokens, 512, 384, 5, 2, Routing::crowded});
      if (HasFailure()) return;
    }
    check_moe(format, {40, 256, 256, 1, 1, Routing::crowded});
    check_moe(format, {5, 512, 256, 1, 1});
    check_moe(format, {24, 1024, 256, 5, 2, Routing::spread, true});
    check_moe(format, {170, 256, 512, 3, 2, Routing::crowded});
    check_moe(format, {90, 512, 1024, 7, 3, Routing::spread, true});
    check_moe(format, {24, 128, 128, 130, 8});
    check_moe(format, {24, 384, 1024, 3, 3, Routing::spread, true});
    check_moe(format, {9, 1536, 256, 3, 1});
    // Slabs enough for every block to have several of more than one expert.
    if (format.name == "int4_g32" || format.name == "nvfp4_divides") {
      check_moe(format, {24, 512, 2048, 16, 4});
    }
    for (const std::int64_t odd : {64, 120, 160, 200, 288}) {
      check_moe(format, {9, odd, 128, 4, 2});
      check_moe(format, {9, 128, odd, 4, 2});
      if (HasFailure()) return;
    }
  }
}

// Scales of blocks, of rows and of all, and of blocks too small, which others take.
TEST_F(CudaProducts, MoeMlpOfFp8MatchesTheFormulaHoweverTokensSpread) {
  only_ = "groups";
  for (const FormatCase& format : all_formats()) {
    if (format.layout.format != WeightFormat::fp8) continue;
    for (const std::int64_t tokens : {1, 3, 8, 9, 17, 33, 64, 100}) {
      check_moe(format, {tokens, 256, 128, 16, 4, Routing::spread, true});
      check_moe(format, {tokens, 512, 384, 5, 2, Routing::crowded});
      check_moe(format, {tokens, 128, 896, 3, 2});
      if (HasFailure()) return;
    }
    check_moe(format, {24, 128, 128, 130, 8});
    check_moe(format, {170, 256, 512, 3, 2, Routing::crowded});
    check_moe(format, {24, 1024, 384, 5, 2, Routing::spread, true});
    for (const std::int64_t odd : {64, 96, 160, 200}) {
      check_moe(format, {9, odd, 128, 4, 2});
      check_moe(format, {9, 128, odd, 4, 2});
      if (HasFailure()) return;
    }
  }
  check_moe(format_of("fp8_block"), {40, 2048, 1536, 2, 1, Routing::crowded});
}

// Where rows are brought to another range, and longer than a warp holds.
TEST_F(CudaProducts, MoeMlpInGroupsTakesRowsOfAnySize) {
  only_ = "groups";
  for (const FormatCase& format : all_formats()) {
    if (format.name != "nvfp4_multiplies" && format.name != "int4_g32" &&
        format.name != "fp8_block") {
      continue;
    }
    for (const float size : {1e-6F, 1e-2F, 1.0F, 1e3F, 1e7F}) {
      check_moe(
          format,
          {.tokens = 12, .hidden = 512, .inner = 256, .experts = 3, .chosen = 2, .size = size});
      if (HasFailure()) return;
    }
    check_moe(format, {9, 2560, 256, 3, 2});
  }
}

// They are results of the rows they are in, and of no other.
TEST_F(CudaProducts, MoeMlpInGroupsShowsNumbersThatAreNotFinite) {
  constexpr std::int64_t kTokens = 9;
  constexpr std::int64_t kHidden = 512;
  constexpr std::int64_t kInner = 256;
  constexpr std::int64_t kExperts = 3;
  for (const FormatCase& format : all_formats()) {
    if (format.name != "nvfp4_multiplies" && format.name != "int4_g32" &&
        format.name != "fp8_block") {
      continue;
    }
    SCOPED_TRACE(format.name);
    const RandomWeight gate(format, kInner, kHidden, engine_, kExperts);
    const RandomWeight up(format, kInner, kHidden, engine_, kExperts);
    const RandomWeight down(format, kHidden, kInner, engine_, kExperts);
    std::vector<std::int32_t> ids;
    for (std::int64_t t = 0; t < kTokens; ++t) {
      ids.push_back(static_cast<std::int32_t>(t % kExperts));
    }
    const auto groups =
        std::find(std::begin(kVariants), std::end(kVariants), std::string("groups"));
    ASSERT_NE(groups, std::end(kVariants));
    Ops& ops = *variants_[static_cast<std::size_t>(groups - std::begin(kVariants))];
    ASSERT_TRUE(ops.reserve({.tokens = kTokens,
                             .chosen = 1,
                             .experts = kExperts,
                             .hidden = kHidden,
                             .inner = kInner})
                    .ok());
    const ExpertsView gates = experts_on_device(gate);
    const ExpertsView ups = experts_on_device(up);
    const ExpertsView downs = experts_on_device(down);
    const void* ids_memory = device(ids);
    const void* weights = device(random_floats(kTokens));
    const auto run = [&](const Bits& x) {
      void* out = poisoned(kTokens * kHidden * 2);
      ops.moe_mlp({.out = {out, Dtype::bf16, {kTokens, kHidden}},
                   .x = {device(x), Dtype::bf16, {kTokens, kHidden}},
                   .ids = {ids_memory, Dtype::i32, {kTokens, 1}},
                   .weights = {weights, Dtype::f32, {kTokens, 1}},
                   .gate = gates,
                   .up = ups,
                   .down = downs});
      return back<std::uint16_t>(ops, out, kTokens * kHidden);
    };
    Bits x = random(kTokens * kHidden);
    const Bits before = run(x);
    x[4 * kHidden + 17] = 0x7FC0;   // NaN
    x[7 * kHidden + 300] = 0xFF80;  // -infinity
    const Bits bits = run(x);
    const Floats got = floats(bits);
    for (std::int64_t t = 0; t < kTokens; ++t) {
      const auto first = static_cast<std::size_t>(t * kHidden);
      const auto end = first + kHidden;
      if (t == 4 || t == 7) {
        EXPECT_TRUE(std::none_of(got.begin() + first, got.begin() + end,
                                 [](float y) { return std::isfinite(y); }))
            << "token " << t;
      } else {
        EXPECT_TRUE(std::equal(bits.begin() + first, bits.begin() + end, before.begin() + first))
            << "token " << t;
      }
    }
    forget();
  }
}

// Widths of published experts among them.
TEST_F(CudaProducts, MoeMlpOfWarpgroupsMatchesTheFormulaInFourBitsOfAnyGroupAndFp8) {
  only_ = "wgmma";
  for (const FormatCase& format : warpgroup_formats()) {
    check_moe(format, {9, 128, 384, 3, 2, Routing::spread, true});
    check_moe(format, {40, 256, 1408, 3, 2});
    check_moe(format, {100, 1408, 256, 3, 2});
    check_moe(format, {170, 384, 512, 3, 2, Routing::crowded});
    if (HasFailure()) return;
  }
  check_moe({"int4_g128", {.format = WeightFormat::int4_group, .group = 128}},
            {24, 2048, 1536, 2, 1});
}

// More tiles than multiprocessors: blocks go on to others, of one stage and of more than there are.
TEST_F(CudaProducts, MoeMlpOfWarpgroupsGoesFromTileToTile) {
  only_ = "wgmma";
  for (const FormatCase& format : all_formats()) {
    if (format.name != "int4_g32" && format.name != "int4_g32_zeros" &&
        format.name != "nvfp4_divides") {
      continue;
    }
    check_moe(format, {140, 1024, 1024, 36, 8});
    check_moe(format, {140, 128, 1024, 36, 8});
    check_moe(format, {140, 1024, 128, 36, 8});
    check_moe(format, {280, 256, 512, 36, 8});
    if (HasFailure()) return;
  }
}

// Halves that are not decoded alike, so that only one has its columns dealt.
TEST_F(CudaProducts, MoeMlpOfWarpgroupsTakesHalvesOfOtherFormats) {
  only_ = "wgmma";
  const FormatCase int4 = format_of("int4_g32");
  for (const FormatCase& other : {format_of("bf16"), format_of("fp8_block")}) {
    for (const std::int64_t tokens : {40, 170}) {
      check_moe(int4, other, {tokens, 384, 512, 3, 2});
      check_moe(other, int4, {tokens, 384, 512, 3, 2});
      check_moe(other, other, {tokens, 384, 512, 3, 2});
      if (HasFailure()) return;
    }
  }
}

// The same bits as one after the other; also recorded, and run again.
TEST_F(CudaProducts, MoeMlpWaitsForTheSharedResultThatRunsBeside) {
  const std::int64_t tokens = 9;
  const std::int64_t hidden = 256;
  const std::int64_t inner = 128;
  const std::int64_t wide = 2048;
  const FormatCase format = all_formats()[3];
  const RandomWeight gate(format, inner, hidden, engine_, 4);
  const RandomWeight up(format, inner, hidden, engine_, 4);
  const RandomWeight down(format, hidden, inner, engine_, 4);
  const RandomWeight first(all_formats()[2], wide, hidden, engine_);
  const RandomWeight second(all_formats()[2], hidden, wide, engine_);
  const WeightView first_view = on_device(first);
  const WeightView second_view = on_device(second);
  std::vector<std::int32_t> ids;
  for (std::int64_t t = 0; t < tokens; ++t) ids.push_back(static_cast<std::int32_t>(t % 4));
  const TensorView middle(poisoned(static_cast<std::size_t>(tokens * wide) * 2), Dtype::bf16,
                          {tokens, wide});
  const auto count = static_cast<std::size_t>(tokens * hidden);
  const TensorView shared(poisoned(count * 2), Dtype::bf16, {tokens, hidden});
  const TensorView out(poisoned(count * 2), Dtype::bf16, {tokens, hidden});
  const ConstTensorView x(device(random(tokens * hidden)), Dtype::bf16, {tokens, hidden});
  const MoeMlp moe{.out = out,
                   .x = x,
                   .ids = {device(ids), Dtype::i32, {tokens, 1}},
                   .weights = {device(random_floats(tokens)), Dtype::f32, {tokens, 1}},
                   .gate = experts_on_device(gate),
                   .up = experts_on_device(up),
                   .down = experts_on_device(down),
                   .shared = shared};
  ASSERT_TRUE(
      gpu_->reserve({.tokens = tokens, .chosen = 1, .experts = 4, .hidden = hidden, .inner = inner})
          .ok());
  const auto enqueue_shared = [&] {
    gpu_->gated_linear({.out = middle, .x = x, .gate = first_view, .up = first_view});
    gpu_->linear({.out = shared, .x = middle, .weight = second_view});
  };
  enqueue_shared();
  gpu_->moe_mlp(moe);
  const Bits wanted = back<std::uint16_t>(out.data, count);
  const Bits poison(count, 0xFFFF);
  const auto forget_results = [&] {
    gpu_->upload(shared.data, std::as_bytes(std::span(poison)));
    gpu_->upload(out.data, std::as_bytes(std::span(poison)));
  };
  const auto beside = [&] {
    gpu_->beside(enqueue_shared);
    gpu_->moe_mlp(moe);
  };
  for (int i = 0; i < 10; ++i) {
    forget_results();
    beside();
    ASSERT_EQ(back<std::uint16_t>(out.data, count), wanted) << "run " << i;
  }
  const std::unique_ptr<Recording> recording = gpu_->record(beside);
  ASSERT_NE(recording, nullptr);
  for (int i = 0; i < 10; ++i) {
    forget_results();
    gpu_->replay(*recording);
    ASSERT_EQ(back<std::uint16_t>(out.data, count), wanted) << "replay " << i;
  }
  // Nobody takes it: the next sync does.
  forget_results();
  gpu_->beside(enqueue_shared);
  ASSERT_TRUE(gpu_->sync().ok());
  const Floats late = floats(back<std::uint16_t>(shared.data, count));
  EXPECT_TRUE(std::isfinite(late.front()) && std::isfinite(late.back()));
}

TEST_F(CudaProducts, MoeMlpSaysWhenNothingWasReserved) {
  const FormatCase format = all_formats()[2];
  const RandomWeight weight(format, 8, 8, engine_, 2);
  const ExpertsView view = experts_on_device(weight);
  gpu_->moe_mlp({.out = {poisoned(16), Dtype::bf16, {1, 8}},
                 .x = {device(random(8)), Dtype::bf16, {1, 8}},
                 .ids = {device(std::vector<std::int32_t>{1}), Dtype::i32, {1, 1}},
                 .weights = {device(Floats{1}), Dtype::f32, {1, 1}},
                 .gate = view,
                 .up = view,
                 .down = view});
  const Status status = gpu_->sync();
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Errc::exhausted);
  EXPECT_EQ(status.error().message,
            "moe_mlp of 1 tokens, 1 of 2 experts, 8 to 8: the workspace was reserved for 0 tokens, "
            "0 of 0 experts, 0 to 0");
}

}  // namespace
}  // namespace glm::kernels
