#include <utility>

#include "runner/checkpoint/json_fields.h"

namespace glm::runner {
namespace {

// Waits for a key of that name and an object behind it, notes the object's keys, and stops.
class KeyOrder final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit KeyOrder(std::string_view name) : name_(name) {}
  std::vector<std::string> keys;

  bool null() override { return value(); }
  bool boolean(bool /*value*/) override { return value(); }
  bool number_integer(number_integer_t /*value*/) override { return value(); }
  bool number_unsigned(number_unsigned_t /*value*/) override { return value(); }
  bool number_float(number_float_t /*value*/, const string_t& /*text*/) override { return value(); }
  bool string(string_t& /*value*/) override { return value(); }
  bool binary(binary_t& /*value*/) override { return value(); }
  bool start_object(std::size_t /*elements*/) override { return open(); }
  bool end_object() override { return close(); }
  bool start_array(std::size_t /*elements*/) override {
    found_next_ = false;
    return open();
  }
  bool end_array() override { return close(); }
  bool key(string_t& text) override {
    if (inside_ && depth_ == inside_depth_) keys.push_back(text);
    if (!inside_) found_next_ = text == name_;
    return true;
  }
  bool parse_error(std::size_t /*position*/, const std::string& /*token*/,
                   const nlohmann::detail::exception& /*error*/) override {
    return false;
  }

 private:
  bool value() {
    found_next_ = false;
    return true;
  }
  bool open() {
    ++depth_;
    if (found_next_ && !inside_) {
      inside_ = true;
      inside_depth_ = depth_;
    }
    found_next_ = false;
    return true;
  }
  bool close() {
    const bool done = inside_ && depth_ == inside_depth_;
    --depth_;
    return !done;
  }

  std::string_view name_;
  int depth_ = 0;
  int inside_depth_ = 0;
  bool inside_ = false;
  bool found_next_ = false;
};

}  // namespace

std::vector<std::string> key_order(std::string_view text, std::string_view name) {
  KeyOrder order(name);
  (void)nlohmann::json::sax_parse(text.begin(), text.end(), &order);
  return std::move(order.keys);
}

}  // namespace glm::runner
