#include "runner/checkpoint/safetensors_index.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "runner/checkpoint/safetensors_header.h"

namespace glm::runner {
namespace {

bool plain_file_name(std::string_view name) {
  const bool odd = std::any_of(name.begin(), name.end(), [](char c) {
    return c == '/' || c == '\\' || static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
  });
  return !odd && name.size() > std::string_view(".safetensors").size() && name.size() <= 255 &&
         name.front() != '.' && name.ends_with(".safetensors");
}

// Takes weight_map out of the events of the parser and lets everything else pass unkept, so that
// the memory an index needs is that of its entries.
class IndexReader final : public nlohmann::json_sax<nlohmann::json> {
 public:
  std::string problem;
  SafetensorsIndex index;
  bool seen = false;  // weight_map

  bool null() override { return scalar(); }
  bool boolean(bool /*value*/) override { return scalar(); }
  bool number_integer(number_integer_t /*value*/) override { return scalar(); }
  bool number_unsigned(number_unsigned_t /*value*/) override { return scalar(); }
  bool number_float(number_float_t /*value*/, const string_t& /*text*/) override {
    return scalar();
  }
  bool binary(binary_t& /*value*/) override { return scalar(); }
  bool string(string_t& value) override {
    if (!in_map()) return scalar();
    if (!plain_file_name(value)) return no_file_name();
    if (index.size() == kTensorsMax) return fail("weight_map has more than a million entries");
    if (!index.emplace(tensor_, value).second) {
      return fail(fmt::format("tensor '{}' is there twice", tensor_));
    }
    return true;
  }
  bool start_object(std::size_t /*elements*/) override {
    if (depth_ == 1 && at_map_)
      inside_map_ = true;
    else if (!open())
      return false;
    ++depth_;
    return true;
  }
  bool end_object() override { return close(); }
  bool start_array(std::size_t /*elements*/) override {
    if (!open()) return false;
    ++depth_;
    return true;
  }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    if (depth_ == 1) {
      at_map_ = name == "weight_map";
      if (at_map_ && seen) return fail("weight_map is there twice");
      seen = seen || at_map_;
    }
    if (!in_map()) return true;
    if (!plausible_tensor_name(name)) {
      return fail(fmt::format("weight_map: a tensor name of {} bytes, or with control characters",
                              name.size()));
    }
    tensor_ = name;
    return true;
  }
  bool parse_error(std::size_t position, const std::string& /*token*/,
                   const nlohmann::detail::exception& /*error*/) override {
    return fail(fmt::format("not valid JSON at byte {}", position));
  }

 private:
  static constexpr int kDepthMax = 64;

  bool in_map() const { return inside_map_ && depth_ == 2; }
  bool fail(std::string what) {
    if (problem.empty()) problem = std::move(what);
    return false;
  }
  bool no_file_name() {
    return fail(
        fmt::format("tensor '{}': its file is no plain file name ending in .safetensors", tensor_));
  }
  // A value where one may be that is not kept.
  bool scalar() {
    if (in_map()) return no_file_name();
    return !at_map_ || depth_ > 1 || fail("weight_map is no object");
  }
  bool open() {
    if (in_map()) return no_file_name();
    if (depth_ == 1 && at_map_) return fail("weight_map is no object");
    return depth_ < kDepthMax || fail(fmt::format("nested deeper than {} levels", kDepthMax));
  }
  bool close() {
    --depth_;
    if (depth_ == 1) inside_map_ = false;
    return true;
  }

  int depth_ = 0;
  bool at_map_ = false;  // the key of the top object we are at is weight_map
  bool inside_map_ = false;
  std::string tensor_;
};

}  // namespace

Result<SafetensorsIndex> parse_safetensors_index(std::string_view json) {
  IndexReader reader;
  const auto refuse = [](std::string_view what) {
    return make_error(Errc::corrupt, "{}: {}", kSafetensorsIndexFile, what);
  };
  if (json.find('{') > json.find_first_not_of(" \t\r\n")) return refuse("not a JSON object");
  if (json.find('\0') != std::string_view::npos) return refuse("it holds a NUL byte");
  if (!nlohmann::json::sax_parse(json.begin(), json.end(), &reader)) {
    return refuse(reader.problem.empty() ? "not valid JSON" : reader.problem);
  }
  if (!reader.seen || reader.index.empty()) return refuse("weight_map is missing or empty");
  return std::move(reader.index);
}

}  // namespace glm::runner
