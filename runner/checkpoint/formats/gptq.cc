// GPTQ, 4 or 8 bits, everything transposed:
//
//   M.qweight  I32 [in*bits/32, out]    a word holds inputs in turn, from its lowest bits up
//   M.qzeros   I32 [in/g, out*bits/32]  the same along the outputs
//   M.scales   F16|BF16 [in/g, out]
//   M.g_idx    I32 [in]                 the group of each input; may be missing: k/g
//
//   weight (u - zero) * scale, rounded once in the dtype of the scales
//
// Version 1 stores zero points less one, subtracted from whole words, so that a zero of 0 borrows
// from its neighbour: adding to whole words undoes it. In symmetric files the zero is the middle of
// the range whatever qzeros says; both versions' words exist under either name. A module that no
// configuration of GPTQ tells of is taken for version 1, which is what most are.
#include <algorithm>
#include <array>

#include "base/check.h"
#include "runner/checkpoint/formats/parts.h"
#include "runner/checkpoint/formats/rows.h"

namespace glm::runner::formats {
namespace {

using kernels::Dtype;
using kernels::WeightFormat;
using kernels::WeightLayout;
using kernels::WeightPart;

struct Parts {
  const TensorInfo* weight;
  const TensorInfo* zeros;
  const TensorInfo* scales;
  const TensorInfo* g_idx;
};

Parts parts_of(const Checkpoint& checkpoint, const std::string& module) {
  const auto part = [&](std::string_view suffix) { return find_part(checkpoint, module, suffix); };
  return {part("qweight"), part("qzeros"), part("scales"), part("g_idx")};
}

bool is_gptq(const Parts& parts) {
  if (parts.weight == nullptr || parts.scales == nullptr) return false;
  if (parts.weight->dtype != Dtype::i32 || parts.weight->shape.size() != 2 ||
      parts.scales->shape.size() != 2) {
    return false;
  }
  return parts.g_idx != nullptr || parts.weight->shape[1] == parts.scales->shape[1];
}

std::int64_t bits_of(const WeightLayout& layout) {
  return layout.format == WeightFormat::int4_group ? 4 : 8;
}

std::uint32_t ones(std::int64_t bits) {
  return bits == 4 ? 0x11111111U : 0x01010101U;
}

// Zero points of all outputs of one group, packed; true ones.
class ZeroWords {
 public:
  ZeroWords(std::span<const std::byte> bytes, const WeightLayout& layout, bool less_one)
      : bytes_(bytes),
        bits_(bits_of(layout)),
        words_(static_cast<std::size_t>(layout.rows * bits_ / 32)),
        add_(less_one ? ones(bits_) : 0) {}

  std::uint8_t at(std::size_t group, std::size_t output) const {
    const std::size_t bit = output * static_cast<std::size_t>(bits_);
    const auto word = value_at<std::uint32_t>(bytes_, group * words_ + bit / 32) + add_;
    return static_cast<std::uint8_t>(word >> (bit % 32) & ((1U << bits_) - 1));
  }

 private:
  std::span<const std::byte> bytes_;
  std::int64_t bits_;
  std::size_t words_;
  std::uint32_t add_;
};

// Fields of `bits` in the words of version 1 that are all ones: the true zero was 0, and writers
// disagree about the neighbours.
bool has_ambiguous_zero(std::span<const std::byte> bytes, std::int64_t bits) {
  const std::uint32_t field = bits == 4 ? 15U : 255U;
  for (std::size_t i = 0; i < bytes.size() / 4; ++i) {
    const auto word = value_at<std::uint32_t>(bytes, i);
    for (unsigned shift = 0; shift < 32; shift += static_cast<unsigned>(bits)) {
      if ((word >> shift & field) == field) return true;
    }
  }
  return false;
}

bool all_words_are(std::span<const std::byte> bytes, std::uint32_t wanted) {
  for (std::size_t i = 0; i < bytes.size() / 4; ++i) {
    if (value_at<std::uint32_t>(bytes, i) != wanted) return false;
  }
  return true;
}

bool all_in_the_middle(std::span<const std::byte> bytes, std::int64_t bits) {
  const std::uint32_t middle = ones(bits) << (bits - 1);
  return all_words_are(bytes, middle) || all_words_are(bytes, middle - ones(bits));
}

// Where the configuration does not say whether there are zero points to go by, they do.
Result<bool> has_zeros(const ModuleQuery& query, const TensorInfo& zeros, std::int64_t bits) {
  if (query.scheme.symmetric) return !*query.scheme.symmetric;
  if (!query.checkpoint.has_data()) return true;
  const std::vector<std::byte> bytes = GLM_TRY(query.checkpoint.read_all(zeros));
  return !all_in_the_middle(bytes, bits);
}

Status read_zeros(const WeightRead& read, const Parts& parts) {
  const WeightLayout& layout = read.layout;
  const std::int64_t bits = bits_of(layout);
  const std::vector<std::byte> bytes = GLM_TRY(read.checkpoint.read_all(*parts.zeros));
  const auto note = [&](std::string text) {
    if (read.notes != nullptr) read.notes->push_back(std::move(text));
  };
  if (!layout.zeros) {
    if (!all_in_the_middle(bytes, bits)) {
      note(
          fmt::format("tensor '{}' is not the middle of the range, and the configuration says the "
                      "weights are symmetric: the middle is taken",
                      parts.zeros->name));
    }
    return Ok{};
  }
  const bool less_one = read.scheme.method != QuantMethod::gptq || read.scheme.zeros_less_one;
  if (less_one && has_ambiguous_zero(bytes, bits)) {
    note(
        fmt::format("tensor '{}' has zero points of 0, which writers of GPTQ version 1 store in "
                    "different ways",
                    parts.zeros->name));
  }
  const ZeroWords words(bytes, layout, less_one);
  const auto groups = static_cast<std::size_t>(layout.groups());
  const std::span<std::byte> target = read.target[static_cast<std::size_t>(WeightPart::zeros)];
  for (std::size_t r = 0; r < static_cast<std::size_t>(layout.rows); ++r) {
    for (std::size_t g = 0; g < groups; ++g) put_at(target, r * groups + g, words.at(g, r));
  }
  return Ok{};
}

// Words are those of memory already, turned around.
void copy_words(std::span<const std::byte> packed, const WeightLayout& layout,
                std::span<std::byte> target) {
  const auto rows = static_cast<std::size_t>(layout.rows);
  const auto words = static_cast<std::size_t>(layout.data_row_bytes() / 4);
  constexpr std::size_t kTile = 16;
  for (std::size_t w0 = 0; w0 < words; w0 += kTile) {
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t w = w0; w < std::min(w0 + kTile, words); ++w) {
        put_at(target, r * words + w, value_at<std::uint32_t>(packed, w * rows + r));
      }
    }
  }
}

// By tiles of rows and words that stay in the first-level cache: the rows of one word are
// neighbours in the file, which a compiler makes vectors of, and the words of one row go out
// together.
void copy_reordered(std::span<const std::byte> packed, const WeightLayout& layout,
                    const std::vector<std::int32_t>& order, std::span<std::byte> target) {
  const auto rows = static_cast<std::size_t>(layout.rows);
  const auto words = static_cast<std::size_t>(layout.data_row_bytes() / 4);
  const auto bits = static_cast<std::size_t>(bits_of(layout));
  const std::uint32_t field = (1U << bits) - 1;
  const std::size_t per_word = 32 / bits;
  constexpr std::size_t kRows = 256;
  constexpr std::size_t kWords = 16;
  constexpr std::size_t kPitch = kRows + 16;  // or the words of a row would share a cache set
  std::array<std::array<std::uint32_t, kPitch>, kWords> tile;
  for (std::size_t r0 = 0; r0 < rows; r0 += kRows) {
    const std::size_t tile_rows = std::min(kRows, rows - r0);
    for (std::size_t w0 = 0; w0 < words; w0 += kWords) {
      const std::size_t tile_words = std::min(kWords, words - w0);
      for (std::size_t w = 0; w < tile_words; ++w) {
        tile[w].fill(0);
        const std::size_t first = (w0 + w) * per_word;
        for (std::size_t j = 0; j < per_word && first + j < order.size(); ++j) {
          const auto k = static_cast<std::size_t>(order[first + j]);
          const std::size_t from = k / per_word * rows + r0;
          const std::size_t down = bits * (k % per_word);
          const std::size_t up = bits * j;
          for (std::size_t r = 0; r < tile_rows; ++r) {
            tile[w][r] |= (value_at<std::uint32_t>(packed, from + r) >> down & field) << up;
          }
        }
      }
      for (std::size_t r = 0; r < tile_rows; ++r) {
        for (std::size_t w = 0; w < tile_words; ++w) {
          put_at(target, (r0 + r) * words + w0 + w, tile[w][r]);
        }
      }
    }
  }
}

}  // namespace

Result<std::optional<StoredWeight>> detect_gptq(const ModuleQuery& query) {
  const Parts parts = parts_of(query.checkpoint, query.module);
  if (!is_gptq(parts)) return std::optional<StoredWeight>();
  if (parts.zeros == nullptr) return missing_tensor(query.module, "qzeros");
  const std::int64_t out = parts.weight->shape[1];
  const std::vector<std::int64_t>& zeros = parts.zeros->shape;
  const std::int64_t bits =
      parts.zeros->dtype == Dtype::i32 && zeros.size() == 2 && out > 0 && zeros[1] * 32 % out == 0
          ? zeros[1] * 32 / out
          : 0;
  if (bits != 4 && bits != 8) {
    return make_error(Errc::unsupported,
                      "tensor '{}': got {}, wanted i32 [n, {}] for 4-bit or [n, {}] for 8-bit "
                      "weights of {} outputs, the ones that are read",
                      parts.zeros->name, describe(*parts.zeros), out / 8, out / 4, out);
  }
  const std::int64_t in = parts.weight->shape[0] * 32 / bits;
  const std::int64_t groups = zeros[0];
  const std::vector<std::int64_t> scale_shape = {groups, out};
  if (!is_float(parts.scales->dtype) || parts.scales->shape != scale_shape) {
    return wrong_tensor(*parts.scales, fmt::format("a float [{}]", fmt::join(scale_shape, ", ")));
  }
  if (groups < 1 || in < groups) {
    return wrong_tensor(*parts.zeros, fmt::format("1 to {} groups", in));
  }
  if (parts.g_idx != nullptr && parts.g_idx->shape != std::vector<std::int64_t>{in}) {
    return wrong_tensor(*parts.g_idx, fmt::format("i32 [{}]", in));
  }
  // Groups of the configured size, the last one shorter, come before even ones of another size.
  const std::int64_t said = query.scheme.group;
  const bool as_said = said >= 1 && said <= in && (in + said - 1) / said == groups;
  const std::int64_t group = as_said ? said : in / groups;
  if (!as_said && in % groups != 0) {
    return wrong_tensor(*parts.scales, fmt::format("[n, {}] with n a divisor of {}", out, in));
  }
  StoredWeight stored;
  WeightLayout& layout = stored.layout;
  layout = {.format = bits == 4 ? WeightFormat::int4_group : WeightFormat::int8_group,
            .rows = out,
            .cols = in,
            .group = group,
            .scale_dtype = parts.scales->dtype,
            .zeros = GLM_TRY(has_zeros(query, *parts.zeros, bits))};
  GLM_TRY(agree_with_scheme(query, layout));
  if (parts.g_idx != nullptr && layout.groups() > 1) {
    layout.ordered = query.scheme.activation_order;
    if (query.checkpoint.has_data()) {
      const ColumnOrder order = GLM_TRY(read_column_order(query.checkpoint, *parts.g_idx, layout));
      layout.ordered = !order.trivial;
    }
  }
  stored.label = integer_label(layout, QuantMethod::gptq);
  return std::optional<StoredWeight>(std::move(stored));
}

Status read_gptq(const WeightRead& read) {
  const WeightLayout& layout = read.layout;
  const Parts parts = parts_of(read.checkpoint, read.module);
  GLM_CHECK(is_gptq(parts) && parts.zeros != nullptr);
  const auto target = [&](WeightPart part) { return read.target[static_cast<std::size_t>(part)]; };
  const std::vector<std::byte> packed = GLM_TRY(read.checkpoint.read_all(*parts.weight));
  if (layout.ordered) {
    const ColumnOrder columns = GLM_TRY(read_column_order(read.checkpoint, *parts.g_idx, layout));
    std::memcpy(target(WeightPart::order).data(), columns.order.data(),
                target(WeightPart::order).size());
    copy_reordered(packed, layout, columns.order, target(WeightPart::data));
  } else {
    copy_words(packed, layout, target(WeightPart::data));
  }
  GLM_TRY(read_zeros(read, parts));
  const std::vector<std::byte> scales = GLM_TRY(read.checkpoint.read_all(*parts.scales));
  transpose_scales(scales, layout, target(WeightPart::scales));
  return Ok{};
}

}  // namespace glm::runner::formats
