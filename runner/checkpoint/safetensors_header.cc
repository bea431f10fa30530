#include "runner/checkpoint/safetensors_header.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_set>

#include "base/check.h"

namespace glm::runner {
namespace {

using kernels::Dtype;

constexpr std::uint64_t kHeaderMaxBytes = 100'000'000;  // the reference reader's limit
constexpr std::size_t kNameMaxBytes = 512;
constexpr std::size_t kRankMax = 8;
constexpr std::size_t kMetadataKeysMax = 100'000;
constexpr std::uint64_t kDimMax = 1ULL << 40U;  // a terabyte, even of the smallest values

struct DtypeRow {
  std::string_view spelling;
  Dtype dtype;
};
constexpr std::array<DtypeRow, 16> kDtypes = {{
    {"F64", Dtype::f64},
    {"F32", Dtype::f32},
    {"F16", Dtype::f16},
    {"BF16", Dtype::bf16},
    {"F8_E4M3", Dtype::f8_e4m3},
    {"F8_E5M2", Dtype::f8_e5m2},
    {"F8_E8M0", Dtype::f8_e8m0},
    {"I64", Dtype::i64},
    {"I32", Dtype::i32},
    {"I16", Dtype::i16},
    {"I8", Dtype::i8},
    {"U64", Dtype::u64},
    {"U32", Dtype::u32},
    {"U16", Dtype::u16},
    {"U8", Dtype::u8},
    {"BOOL", Dtype::boolean},
}};

// Legal in the format, without a use here so far.
struct UnsupportedDtype {
  std::string_view spelling;
  std::uint64_t bits;
};
constexpr std::array<UnsupportedDtype, 6> kDtypesUnsupported = {{
    {"F4", 4},
    {"F6_E2M3", 6},
    {"F6_E3M2", 6},
    {"F8_E5M2FNUZ", 8},
    {"F8_E4M3FNUZ", 8},
    {"C64", 64},
}};

// A string of the file as a message may show it.
std::string shown(std::string_view text) {
  constexpr std::size_t kShownMax = 60;
  std::string out(text.substr(0, kShownMax));
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7F) c = '?';
  }
  return text.size() > kShownMax ? out + "..." : out;
}

// Elements times bits. No value: more than 2^63 bits, where a zero does not make up for what the
// other dimensions claim, so that any product of dimensions is safe afterwards.
std::optional<std::uint64_t> bits_of(std::span<const std::int64_t> shape, std::uint64_t bits) {
  std::int64_t product = static_cast<std::int64_t>(bits);
  bool empty = false;
  for (const std::int64_t dim : shape) {
    empty = empty || dim == 0;
    if (dim != 0 && __builtin_mul_overflow(product, dim, &product)) return {};
  }
  return empty ? 0 : static_cast<std::uint64_t>(product);
}

// Walks the header's events. The grammar is small and fixed, so the place in it is an enumeration:
//
//   start       { -> top
//   top         "name" -> tensor_open            "__metadata__" -> metadata_open      } -> end
//   tensor_open { -> tensor
//   tensor      "dtype" -> dtype                 "shape" -> shape_open
//               "data_offsets" -> offsets_open   } -> top
//   dtype       string -> tensor
//   shape_open  [ -> shape      shape    numbers, ] -> tensor
//   offsets_open [ -> offsets   offsets  two numbers, ] -> tensor
//   metadata_open { -> metadata  metadata  "key" string ..., } -> top
class HeaderReader final : public nlohmann::json_sax<nlohmann::json> {
 public:
  std::string problem;
  Errc code = Errc::corrupt;
  std::vector<TensorInfo> tensors;  // offset: begin, size_bytes: end - begin, both from the file

  bool null() override { return unexpected("null"); }
  bool boolean(bool /*value*/) override { return unexpected("a boolean"); }
  bool number_integer(number_integer_t value) override {
    return fail(fmt::format("negative number {}", value));
  }
  bool number_unsigned(number_unsigned_t value) override {
    if (place_ == Place::shape) {
      if (current_.shape.size() == kRankMax) return fail("more than 8 dimensions");
      if (value > kDimMax) return fail(fmt::format("a dimension of {}", value));
      current_.shape.push_back(static_cast<std::int64_t>(value));
      return true;
    }
    if (place_ == Place::offsets) {
      if (offsets_seen_ == 2) return fail("data_offsets holds more than two numbers");
      offsets_[offsets_seen_++] = value;
      return true;
    }
    return unexpected("a number");
  }
  bool number_float(number_float_t /*value*/, const string_t& text) override {
    return fail(fmt::format("{} is not an unsigned 64-bit integer", shown(text)));
  }
  bool string(string_t& value) override {
    if (place_ == Place::metadata) return true;
    if (place_ != Place::dtype) return unexpected("a string");
    place_ = Place::tensor;
    has_dtype_ = true;
    unsupported_ = std::find_if(kDtypesUnsupported.begin(), kDtypesUnsupported.end(),
                                [&](const auto& r) { return r.spelling == value; });
    if (unsupported_ != kDtypesUnsupported.end()) return true;
    const auto* row = std::find_if(kDtypes.begin(), kDtypes.end(),
                                   [&](const auto& r) { return r.spelling == value; });
    if (row == kDtypes.end()) return fail(fmt::format("dtype '{}' is unknown", shown(value)));
    current_.dtype = row->dtype;
    return true;
  }
  bool binary(binary_t& /*value*/) override { return unexpected("binary"); }

  bool start_object(std::size_t /*elements*/) override {
    switch (place_) {
      case Place::start:
        place_ = Place::top;
        return true;
      case Place::tensor_open:
        place_ = Place::tensor;
        return true;
      case Place::metadata_open:
        place_ = Place::metadata;
        return true;
      default:
        return unexpected("an object");
    }
  }
  bool end_object() override {
    if (place_ == Place::tensor) return finish_tensor();
    place_ = place_ == Place::metadata ? Place::top : Place::end;
    return true;
  }
  bool start_array(std::size_t /*elements*/) override {
    if (place_ == Place::shape_open) {
      place_ = Place::shape;
    } else if (place_ == Place::offsets_open) {
      place_ = Place::offsets;
    } else {
      return unexpected("an array");
    }
    return true;
  }
  bool end_array() override {
    if (place_ == Place::offsets && offsets_seen_ != 2) {
      return fail("data_offsets wants two numbers");
    }
    (place_ == Place::shape ? has_shape_ : has_offsets_) = true;
    place_ = Place::tensor;
    return true;
  }
  bool key(string_t& name) override {
    if (place_ == Place::top) return start_entry(name);
    if (place_ == Place::metadata) {
      if (!metadata_keys_.insert(name).second) return fail("duplicate key in __metadata__");
      if (metadata_keys_.size() > kMetadataKeysMax) {
        return fail(fmt::format("more than {} keys in __metadata__", kMetadataKeysMax));
      }
      return true;
    }
    if (place_ != Place::tensor) return unexpected("a key");
    if (name == "dtype" && !has_dtype_) {
      place_ = Place::dtype;
    } else if (name == "shape" && !has_shape_) {
      place_ = Place::shape_open;
    } else if (name == "data_offsets" && !has_offsets_) {
      place_ = Place::offsets_open;
    } else {
      return fail(fmt::format("unexpected or repeated key '{}'", shown(name)));
    }
    return true;
  }
  bool parse_error(std::size_t position, const std::string& /*token*/,
                   const nlohmann::detail::exception& /*error*/) override {
    return fail(fmt::format("not valid JSON at byte {}", position));
  }

 private:
  enum class Place {
    start,
    top,
    tensor_open,
    tensor,
    dtype,
    shape_open,
    shape,
    offsets_open,
    offsets,
    metadata_open,
    metadata,
    end,
  };

  bool fail(std::string what) {
    if (!problem.empty()) return false;
    problem = current_.name.empty() ? std::move(what)
                                    : fmt::format("tensor '{}': {}", current_.name, what);
    return false;
  }
  bool unexpected(std::string_view what) {
    return fail(fmt::format("{} where none belongs", what));
  }

  bool start_entry(const std::string& name) {
    current_ = TensorInfo();
    if (name == "__metadata__") {
      if (has_metadata_) return fail("duplicate __metadata__");
      has_metadata_ = true;
      place_ = Place::metadata_open;
      return true;
    }
    if (!plausible_tensor_name(name)) {
      return fail(fmt::format("a tensor name of {} bytes: '{}'", name.size(), shown(name)));
    }
    if (!names_.insert(name).second) return fail(fmt::format("duplicate tensor '{}'", name));
    if (tensors.size() == kTensorsMax) return fail("more than a million tensors");
    current_.name = name;
    unsupported_ = kDtypesUnsupported.end();
    has_dtype_ = has_shape_ = has_offsets_ = false;
    offsets_seen_ = 0;
    place_ = Place::tensor_open;
    return true;
  }

  bool finish_tensor() {
    if (!has_dtype_ || !has_shape_ || !has_offsets_) {
      return fail("wants dtype, shape and data_offsets");
    }
    if (offsets_[1] < offsets_[0]) return fail("ends before it begins");
    if (unsupported_ != kDtypesUnsupported.end()) return refuse_dtype();
    current_.offset = offsets_[0];
    current_.size_bytes = offsets_[1] - offsets_[0];
    tensors.push_back(std::move(current_));
    current_ = TensorInfo();
    place_ = Place::top;
    return true;
  }

  // Damaged is damaged first, and only then of a dtype that is not read.
  bool refuse_dtype() {
    const std::optional<std::uint64_t> bits = bits_of(current_.shape, unsupported_->bits);
    const std::string what =
        fmt::format("{} [{}]", unsupported_->spelling, fmt::join(current_.shape, ", "));
    if (!bits) return fail(what + " overflows");
    if (*bits % 8 != 0) return fail(fmt::format("{} takes {} bits, not whole bytes", what, *bits));
    if (const std::uint64_t span = offsets_[1] - offsets_[0]; *bits / 8 != span) {
      return fail(fmt::format("{} takes {} bytes, data_offsets span {}", what, *bits / 8, span));
    }
    code = Errc::unsupported;
    return fail(fmt::format("dtype '{}' is not supported yet", unsupported_->spelling));
  }

  Place place_ = Place::start;
  TensorInfo current_;
  const UnsupportedDtype* unsupported_ = kDtypesUnsupported.end();
  bool has_dtype_ = false;
  bool has_shape_ = false;
  bool has_offsets_ = false;
  bool has_metadata_ = false;
  std::array<std::uint64_t, 2> offsets_ = {};
  std::size_t offsets_seen_ = 0;
  std::unordered_set<std::string> names_;
  std::unordered_set<std::string> metadata_keys_;
};

// Shape against byte count, with every product checked.
Status check_size(const TensorInfo& tensor) {
  const auto value_bytes = static_cast<std::uint64_t>(kernels::size_bytes(tensor.dtype));
  const std::optional<std::uint64_t> bits = bits_of(tensor.shape, 8 * value_bytes);
  if (!bits) {
    return make_error(Errc::corrupt, "tensor '{}': {} overflows", tensor.name, describe(tensor));
  }
  if (*bits / 8 != tensor.size_bytes) {
    return make_error(Errc::corrupt, "tensor '{}': {} takes {} bytes, data_offsets span {}",
                      tensor.name, describe(tensor), *bits / 8, tensor.size_bytes);
  }
  return Ok{};
}

Status check_tiling(const std::vector<TensorInfo>& tensors, std::uint64_t data_bytes) {
  std::uint64_t end = 0;
  for (const TensorInfo& tensor : tensors) {
    if (tensor.offset != end) {
      return make_error(Errc::corrupt, "tensor '{}': begins at {}, but the one before ends at {}",
                        tensor.name, tensor.offset, end);
    }
    if (tensor.size_bytes > data_bytes - end) {
      return make_error(Errc::corrupt, "tensor '{}': ends at {}, but the file has {} bytes of data",
                        tensor.name, tensor.offset + tensor.size_bytes, data_bytes);
    }
    end += tensor.size_bytes;
  }
  if (end != data_bytes) {
    return make_error(Errc::corrupt, "{} bytes follow the last tensor", data_bytes - end);
  }
  return Ok{};
}

}  // namespace

bool plausible_tensor_name(std::string_view name) {
  return !name.empty() && name.size() <= kNameMaxBytes &&
         std::none_of(name.begin(), name.end(),
                      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

std::int64_t TensorInfo::elements() const {
  std::int64_t product = 1;
  for (const std::int64_t dim : shape) product *= dim;
  return product;
}

std::string describe(Dtype dtype, std::span<const std::int64_t> shape) {
  return fmt::format("{} [{}]", kernels::name(dtype), fmt::join(shape, ", "));
}

Result<std::vector<TensorInfo>> parse_safetensors_header(std::string_view header,
                                                         std::uint64_t file_bytes) {
  if (header.empty() || header.front() != '{') {
    return make_error(Errc::corrupt, "the header does not begin with '{{'");
  }
  // The JSON parser takes a NUL byte for the end of its input.
  if (header.find('\0') != std::string_view::npos) {
    return make_error(Errc::corrupt, "header: not valid JSON: it holds a NUL byte");
  }
  HeaderReader reader;
  if (!nlohmann::json::sax_parse(header.begin(), header.end(), &reader)) {
    if (reader.problem.empty()) reader.problem = "not valid JSON";
    return make_error(reader.code, "header: {}", reader.problem);
  }
  std::vector<TensorInfo> tensors = std::move(reader.tensors);
  std::stable_sort(tensors.begin(), tensors.end(), [](const TensorInfo& a, const TensorInfo& b) {
    return std::pair(a.offset, a.size_bytes) < std::pair(b.offset, b.size_bytes);
  });
  const std::uint64_t prefix = 8 + header.size();
  if (prefix > file_bytes) return make_error(Errc::corrupt, "the header is longer than the file");
  for (const TensorInfo& tensor : tensors) GLM_TRY(check_size(tensor));
  GLM_TRY(check_tiling(tensors, file_bytes - prefix));
  for (TensorInfo& tensor : tensors) tensor.offset += prefix;
  return tensors;
}

Result<std::uint64_t> safetensors_header_bytes(std::span<const std::byte> prefix,
                                               std::uint64_t file_bytes) {
  if (file_bytes < kSafetensorsPrefixBytes) {
    return make_error(Errc::corrupt, "{} bytes are too few for a safetensors file", file_bytes);
  }
  GLM_CHECK(prefix.size() >= kSafetensorsPrefixBytes);
  std::uint64_t header_bytes = 0;
  for (std::size_t i = kSafetensorsPrefixBytes; i-- > 0;) {
    header_bytes = header_bytes << 8U | std::to_integer<std::uint64_t>(prefix[i]);
  }
  if (header_bytes > kHeaderMaxBytes) {
    return make_error(Errc::corrupt, "claims a header of {} bytes, the limit is {}", header_bytes,
                      kHeaderMaxBytes);
  }
  if (header_bytes > file_bytes - kSafetensorsPrefixBytes) {
    return make_error(Errc::corrupt, "claims a header of {} bytes, but the file has {}",
                      header_bytes, file_bytes);
  }
  return header_bytes;
}

}  // namespace glm::runner
