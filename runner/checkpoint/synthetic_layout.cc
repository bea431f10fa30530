#include "runner/checkpoint/synthetic_layout.h"

#include <cmath>
#include <string_view>
#include <utility>

#include "runner/checkpoint/model_tensors.h"

namespace glm::runner {
namespace {

using kernels::Dtype;
using Kind = RandomValues::Kind;
using Tensors = std::vector<SyntheticTensor>;
using Shape = std::vector<std::int64_t>;

// Standard deviations of codes.
constexpr double kSigned4 = 4.32;  // -7 .. 7, even
constexpr double kAround4 = 3.74;  // -6 .. 6
constexpr double kSigned8 = 73.9;
constexpr double kE2m1 = 3.0;
constexpr double kE4m3 = 60;           // what e4m3 codes are drawn with
constexpr double kBlockScale = 250;    // of nvfp4, in e4m3
constexpr double kRouterBias = 0.005;  // small beside what scores differ by

std::int64_t divide_up(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

RandomValues normal(double mean, double deviation) {
  return {.kind = Kind::normal, .a = mean, .b = deviation};
}
RandomValues spread(double around) {
  return {.kind = Kind::spread, .a = around};
}
RandomValues constant(double value) {
  return {.kind = Kind::constant, .a = value};
}
RandomValues nibbles(double first, double last) {
  return {.kind = Kind::nibbles, .a = first, .b = last};
}

// The tensors of one quantized matrix.
class Stored {
 public:
  Stored(const ModelMatrix& matrix, const ModuleScheme& scheme)
      : matrix_(matrix),
        scheme_(scheme),
        deviation_(1.0 / std::sqrt(static_cast<double>(matrix.cols))) {}

  Result<Tensors> make() {
    const bool four = scheme_.bits == 4 || scheme_.bits == 0;
    switch (scheme_.method) {
      case QuantMethod::compressed_tensors:
        if (scheme_.floating) return four ? compressed_fp4() : fp8(".weight_scale");
        return scheme_.symmetric.value_or(true) ? compressed_integers() : not_told();
      case QuantMethod::modelopt:
        return four ? modelopt_nvfp4() : fp8(".weight_scale");
      case QuantMethod::fp8:
        return fp8(scheme_.blocks ? ".weight_scale_inv" : ".weight_scale");
      case QuantMethod::awq:
        return awq();
      case QuantMethod::gptq:
        return gptq(four ? 4 : scheme_.bits);
      case QuantMethod::none:
        break;
    }
    return not_told();
  }

 private:
  void add(std::string_view suffix, Dtype dtype, Shape shape, RandomValues values) {
    tensors_.push_back({.info = {.name = matrix_.name + std::string(suffix),
                                 .dtype = dtype,
                                 .shape = std::move(shape)},
                        .values = values});
  }
  Result<Tensors> done() { return std::move(tensors_); }

  Error not_told() const {
    return make_error(Errc::unsupported,
                      "module '{}': how weights of {} bits by this method are stored is not known "
                      "here",
                      matrix_.name, scheme_.bits);
  }

  // Columns that share a scale, a divisor of all.
  Result<std::int64_t> group(std::int64_t usual) const {
    const std::int64_t asked = scheme_.group == 0 ? usual : scheme_.group;
    const std::int64_t size = asked < 0 ? matrix_.cols : asked;
    if (matrix_.cols % size == 0) return size;
    return make_error(Errc::corrupt, "module '{}': {} inputs in groups of {}", matrix_.name,
                      matrix_.cols, size);
  }

  Result<Tensors> compressed_integers() {
    const std::int64_t size = GLM_TRY(group(matrix_.cols));
    const Shape scales = {matrix_.rows, matrix_.cols / size};
    if (scheme_.bits == 8) {
      add(".weight", Dtype::i8, {matrix_.rows, matrix_.cols}, {.kind = Kind::bytes});
      add(".weight_scale", Dtype::bf16, scales, spread(deviation_ / kSigned8));
      return done();
    }
    add(".weight_packed", Dtype::i32, {matrix_.rows, divide_up(matrix_.cols, 8)}, nibbles(1, 15));
    add(".weight_scale", Dtype::bf16, scales, spread(deviation_ / kSigned4));
    add(".weight_shape", Dtype::i64, {2},
        {.kind = Kind::shape,
         .a = static_cast<double>(matrix_.rows),
         .b = static_cast<double>(matrix_.cols)});
    return done();
  }

  Result<Tensors> compressed_fp4() {
    const bool mxfp4 = scheme_.group == 32;
    const std::int64_t size = GLM_TRY(group(16));
    add(".weight_packed", Dtype::u8, {matrix_.rows, matrix_.cols / 2}, {.kind = Kind::bytes});
    const Shape scales = {matrix_.rows, matrix_.cols / size};
    if (mxfp4) {
      const double power = 127 + std::round(std::log2(deviation_ / kE2m1));
      add(".weight_scale", Dtype::u8, scales, {.kind = Kind::powers, .a = power - 1, .b = power});
      return done();
    }
    add(".weight_scale", Dtype::f8_e4m3, scales, spread(kBlockScale));
    add(".weight_global_scale", Dtype::f32, {1}, constant(kBlockScale * kE2m1 / deviation_));
    add(".input_global_scale", Dtype::f32, {1}, constant(1));
    return done();
  }

  Result<Tensors> modelopt_nvfp4() {
    const std::int64_t size = GLM_TRY(group(16));
    add(".weight", Dtype::u8, {matrix_.rows, matrix_.cols / 2}, {.kind = Kind::bytes});
    add(".weight_scale", Dtype::f8_e4m3, {matrix_.rows, matrix_.cols / size}, spread(kBlockScale));
    add(".weight_scale_2", Dtype::f32, {}, constant(deviation_ / kE2m1 / kBlockScale));
    add(".input_scale", Dtype::f32, {}, constant(1));
    return done();
  }

  Result<Tensors> fp8(std::string_view scale) {
    add(".weight", Dtype::f8_e4m3, {matrix_.rows, matrix_.cols}, normal(0, kE4m3));
    const RandomValues values = spread(deviation_ / kE4m3);
    if (scheme_.blocks) {
      const bool inverse = scheme_.method == QuantMethod::fp8;
      add(scale, inverse ? Dtype::f32 : Dtype::bf16,
          {divide_up(matrix_.rows, scheme_.block_rows),
           divide_up(matrix_.cols, scheme_.block_cols)},
          values);
    } else if (scheme_.group < 0) {
      add(scale, Dtype::f32, {matrix_.rows, 1}, values);
    } else {
      add(scale, Dtype::f32, {}, constant(values.a));
    }
    return done();
  }

  // Every zero point is eight, as four bits.
  Result<Tensors> awq() {
    const std::int64_t groups = matrix_.cols / GLM_TRY(group(128));
    add(".qweight", Dtype::i32, {matrix_.cols, matrix_.rows / 8}, nibbles(2, 14));
    add(".qzeros", Dtype::i32, {groups, matrix_.rows / 8}, constant(0x88888888));
    add(".scales", Dtype::f16, {groups, matrix_.rows}, spread(deviation_ / kAround4));
    return done();
  }

  // Symmetric, the columns in their order.
  Result<Tensors> gptq(std::int64_t bits) {
    const std::int64_t size = GLM_TRY(group(128));
    const std::int64_t groups = matrix_.cols / size;
    const bool four = bits == 4;
    const double zero = (four ? 0x88888888 : 0x80808080) -
                        (scheme_.zeros_less_one ? (four ? 0x11111111 : 0x01010101) : 0);
    add(".qweight", Dtype::i32, {matrix_.cols * bits / 32, matrix_.rows},
        four ? nibbles(1, 15) : RandomValues{.kind = Kind::bytes});
    add(".qzeros", Dtype::i32, {groups, matrix_.rows * bits / 32}, constant(zero));
    add(".scales", Dtype::f16, {groups, matrix_.rows},
        spread(deviation_ / (four ? kSigned4 : kSigned8)));
    add(".g_idx", Dtype::i32, {matrix_.cols},
        {.kind = Kind::groups, .a = static_cast<double>(size)});
    return done();
  }

  const ModelMatrix& matrix_;
  const ModuleScheme& scheme_;
  const double deviation_;
  Tensors tensors_;
};

Dtype dtype_of(const ModelConfig& config) {
  if (config.dtype == "float16") return Dtype::f16;
  return config.dtype == "float32" ? Dtype::f32 : Dtype::bf16;
}

SyntheticTensor plain(const ModelMatrix& matrix, Dtype dtype) {
  const bool embedding = matrix.role == ModelMatrix::Role::embedding;
  const double deviation = embedding ? 1.0 : 1.0 / std::sqrt(static_cast<double>(matrix.cols));
  return {.info = {.name = matrix.name + ".weight",
                   .dtype = dtype,
                   .shape = {matrix.rows, matrix.cols}},
          .values = normal(0, deviation)};
}

SyntheticTensor plain(const ModelVector& vector, Dtype dtype) {
  SyntheticTensor tensor{.info = {.name = vector.name, .dtype = dtype, .shape = {vector.size}},
                         .values = {}};
  switch (vector.role) {
    case ModelVector::Role::norm:
      tensor.values = normal(1, 0.05);
      break;
    case ModelVector::Role::bias:
      tensor.values = normal(0, 0.1);
      break;
    case ModelVector::Role::router_bias:
      tensor.values = normal(0, kRouterBias);
      if (dtype != Dtype::f16) tensor.info.dtype = Dtype::f32;
      break;
  }
  return tensor;
}

// Before they are listed: every number may be at the end of its range.
Status check_count(const ModelConfig& config) {
  constexpr std::int64_t kOfOneMatrix = 4;
  const std::int64_t of_a_layer = kOfOneMatrix * 3 * (config.moe.experts + 4);
  const auto most = static_cast<std::int64_t>(kTensorsMax);
  if (of_a_layer * config.layers <= most) return Ok{};
  return make_error(Errc::unsupported, "{} layers of {} experts may be {} tensors, the limit is {}",
                    config.layers, config.moe.experts, of_a_layer * config.layers, most);
}

}  // namespace

Result<std::vector<SyntheticTensor>> synthetic_layout(const ModelConfig& config,
                                                      const Quantization& quantization) {
  GLM_TRY(check_count(config));
  const ModelTensors model = tensors_of(config);
  const Dtype dtype = dtype_of(config);
  Tensors all;
  for (const ModelVector& vector : model.vectors) all.push_back(plain(vector, dtype));
  for (const ModelMatrix& matrix : model.matrices) {
    const ModuleScheme scheme = quantization.scheme_of(matrix.name);
    if (!scheme.quantized || matrix.role != ModelMatrix::Role::linear) {
      all.push_back(plain(matrix, dtype));
      continue;
    }
    for (SyntheticTensor& tensor : GLM_TRY(Stored(matrix, scheme).make())) {
      all.push_back(std::move(tensor));
    }
  }
  for (SyntheticTensor& tensor : all) {
    tensor.info.size_bytes =
        static_cast<std::uint64_t>(tensor.info.elements() * kernels::size_bytes(tensor.info.dtype));
  }
  return all;
}

}  // namespace glm::runner
