// 4-bit floats in blocks, the even column in the low half of each byte:
//
//                    weight            block scale           global scale
//   ct NVFP4         weight_packed U8  weight_scale F8_E4M3  weight_global_scale F32 (divides)
//   ModelOpt NVFP4   weight U8         weight_scale F8_E4M3  weight_scale_2 F32 (multiplies)
//   ct MXFP4         weight_packed U8  weight_scale U8|E8M0  none
//
//   weight [out, in/2], block scale [out, in/16] (NVFP4) or [out, in/32] (MXFP4), global [] or [1]
//
// In memory sign and magnitude lie apart (kernels/weight_format.h).
//
// Scales of activations (input_scale, input_global_scale) serve 4-bit activations and are not read.
#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "runner/checkpoint/formats/parts.h"
#include "runner/checkpoint/formats/rows.h"

namespace glm::runner::formats {
namespace {

using kernels::Dtype;
using kernels::GlobalScale;
using kernels::WeightFormat;
using kernels::WeightLayout;
using kernels::WeightPart;

struct Parts {
  const TensorInfo* weight = nullptr;
  const TensorInfo* scale = nullptr;
  const TensorInfo* global = nullptr;
  GlobalScale convention = GlobalScale::none;
};

Parts parts_of(const Checkpoint& checkpoint, const std::string& module) {
  const auto part = [&](std::string_view suffix) { return find_part(checkpoint, module, suffix); };
  Parts parts{.weight = part("weight_packed"), .scale = part("weight_scale")};
  if (parts.weight != nullptr) {
    parts.global = part("weight_global_scale");
    if (parts.global != nullptr) parts.convention = GlobalScale::divides;
    return parts;
  }
  parts.weight = part("weight");
  parts.global = part("weight_scale_2");
  if (parts.global != nullptr) parts.convention = GlobalScale::multiplies;
  return parts;
}

// As compressed-tensors has it.
bool is_packed(const Parts& parts) {
  return parts.weight->name.ends_with("weight_packed");
}

bool is_fp4(const Parts& parts) {
  if (parts.weight == nullptr || parts.scale == nullptr || parts.weight->dtype != Dtype::u8) {
    return false;
  }
  if (parts.scale->dtype == Dtype::f8_e4m3) return true;
  return parts.convention == GlobalScale::none && is_packed(parts) &&
         (parts.scale->dtype == Dtype::u8 || parts.scale->dtype == Dtype::f8_e8m0);
}

Status check_shapes(const Parts& parts, std::int64_t block) {
  const std::vector<std::int64_t>& weight = parts.weight->shape;
  if (weight.size() != 2 || weight[1] * 2 % block != 0) {
    return wrong_tensor(*parts.weight,
                        fmt::format("u8 [out, n] with n a multiple of {}", block / 2));
  }
  const std::vector<std::int64_t> wanted = {weight[0], weight[1] * 2 / block};
  if (parts.scale->shape != wanted) {
    return wrong_tensor(*parts.scale,
                        fmt::format("[{}], one for {} columns", fmt::join(wanted, ", "), block));
  }
  if (parts.global != nullptr &&
      (parts.global->dtype != Dtype::f32 || parts.global->elements() != 1)) {
    return wrong_tensor(*parts.global, "f32 [1]");
  }
  return Ok{};
}

// Codes of columns as the file has them to codes as memory has them, in whole blocks of columns.
void set_signs_apart(std::span<std::byte> codes) {
  constexpr std::uint64_t kBytes = 0x0101010101010101U;
  GLM_CHECK(codes.size() % sizeof(std::uint64_t) == 0);
  for (std::size_t at = 0; at < codes.size(); at += sizeof(std::uint64_t)) {
    std::uint64_t eight = 0;
    std::memcpy(&eight, codes.data() + at, sizeof(eight));
    eight = (eight & kBytes * 0x70U) | (eight & kBytes * 0x07U) << 1U |
            (eight & kBytes * 0x08U) << 4U | (eight >> 7U & kBytes);
    std::memcpy(codes.data() + at, &eight, sizeof(eight));
  }
}

// Codes that no exporter writes say that this is something else, or damaged.
Status check_scales(const WeightRead& read, const TensorInfo& scale) {
  const std::span<const std::byte> bytes =
      read.target[static_cast<std::size_t>(WeightPart::scales)];
  const bool e4m3 = read.layout.scale_dtype == Dtype::f8_e4m3;
  bool negative = false;
  for (const std::byte byte : bytes) {
    const auto code = std::to_integer<unsigned>(byte);
    if (e4m3 ? (code & 0x7FU) == 0x7FU : code == 0xFFU) {
      return make_error(Errc::corrupt, "tensor '{}': a scale is not a number (code {:#x})",
                        scale.name, code);
    }
    negative = negative || (e4m3 && code > 0x80U);
  }
  if (negative && read.notes != nullptr) {
    read.notes->push_back(fmt::format("tensor '{}' holds negative scales", scale.name));
  }
  return Ok{};
}

}  // namespace

Result<std::optional<StoredWeight>> detect_fp4(const ModuleQuery& query) {
  const Parts parts = parts_of(query.checkpoint, query.module);
  if (!is_fp4(parts)) return std::optional<StoredWeight>();
  if (find_part(query.checkpoint, query.module, "pre_quant_scale") != nullptr) {
    return make_error(Errc::unsupported,
                      "module '{}': NVFP4 with scales on the activations (pre_quant_scale) is not "
                      "supported; pull a plain NVFP4 checkpoint",
                      query.module);
  }
  const bool nvfp4 = parts.scale->dtype == Dtype::f8_e4m3;
  if (nvfp4 && parts.global == nullptr) {
    return missing_tensor(query.module,
                          is_packed(parts) ? "weight_global_scale" : "weight_scale_2");
  }
  const std::int64_t block = nvfp4 ? 16 : 32;
  GLM_TRY(check_shapes(parts, block));
  StoredWeight stored;
  stored.layout = {.format = nvfp4 ? WeightFormat::nvfp4 : WeightFormat::mxfp4,
                   .rows = parts.weight->shape[0],
                   .cols = parts.weight->shape[1] * 2,
                   .group = block,
                   .scale_dtype = nvfp4 ? Dtype::f8_e4m3 : Dtype::f8_e8m0,
                   .global = parts.convention};
  stored.label = quantization::label_of({.type = nvfp4 ? "nvfp4" : "mxfp4",
                                         .geometry = "",
                                         .method = parts.convention == GlobalScale::multiplies
                                                       ? QuantMethod::modelopt
                                                       : QuantMethod::compressed_tensors});
  return std::optional<StoredWeight>(std::move(stored));
}

Status read_fp4(const WeightRead& read) {
  const Parts parts = parts_of(read.checkpoint, read.module);
  GLM_CHECK(is_fp4(parts));
  const auto target = [&](WeightPart part) { return read.target[static_cast<std::size_t>(part)]; };
  GLM_TRY(read.checkpoint.read(*parts.weight, 0, target(WeightPart::data)));
  set_signs_apart(target(WeightPart::data));
  GLM_TRY(read.checkpoint.read(*parts.scale, 0, target(WeightPart::scales)));
  GLM_TRY(check_scales(read, *parts.scale));
  if (parts.global == nullptr) return Ok{};
  const std::span<std::byte> global = target(WeightPart::global);
  GLM_TRY(read.checkpoint.read(*parts.global, 0, global));
  const auto value = value_at<float>(global, 0);
  if (value > 0 && value < 3e38F) return Ok{};
  return make_error(Errc::corrupt,
                    "tensor '{}': got a global scale of {}, wanted a positive number",
                    parts.global->name, value);
}

}  // namespace glm::runner::formats
