// A byte order and bounds for what crosses the socket pair between daemon and runner: little
// endian, lengths as u32, strings and lists preceded by their length.
//
// The Reader never trusts a length: it fails once, stays failed, and hands out zeros afterwards.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace glm::runner {

static_assert(std::endian::native == std::endian::little, "the wire format is little endian");

class WireWriter {
 public:
  template <typename T>
    requires std::is_arithmetic_v<T> || std::is_enum_v<T>
  void put(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void put(std::string_view text) {
    put(static_cast<std::uint32_t>(text.size()));
    bytes_.append(text);
  }
  template <typename T>
    requires std::is_arithmetic_v<T>
  void put(const std::vector<T>& list) {
    put(static_cast<std::uint32_t>(list.size()));
    bytes_.append(reinterpret_cast<const char*>(list.data()), list.size() * sizeof(T));
  }
  std::string take() && { return std::move(bytes_); }

 private:
  std::string bytes_;
};

class WireReader {
 public:
  explicit WireReader(std::string_view bytes) : rest_(bytes) {}

  template <typename T>
    requires std::is_arithmetic_v<T> || std::is_enum_v<T>
  T get() {
    T value{};
    if (take(sizeof value)) std::memcpy(&value, taken_, sizeof value);
    return value;
  }
  std::string get_string() {
    const auto size_bytes = get<std::uint32_t>();
    return take(size_bytes) ? std::string(taken_, size_bytes) : std::string();
  }
  template <typename T>
    requires std::is_arithmetic_v<T>
  std::vector<T> get_list() {
    const auto count = get<std::uint32_t>();
    std::vector<T> list;
    if (!take(std::size_t{count} * sizeof(T))) return list;
    list.resize(count);
    if (count > 0) std::memcpy(list.data(), taken_, count * sizeof(T));
    return list;
  }

  // True when every byte was read and none was missing.
  bool complete() const { return !failed_ && rest_.empty(); }
  bool failed() const { return failed_; }

 private:
  bool take(std::size_t size_bytes) {
    if (failed_ || rest_.size() < size_bytes) {
      failed_ = true;
      return false;
    }
    taken_ = rest_.data();
    rest_.remove_prefix(size_bytes);
    return true;
  }

  std::string_view rest_;
  const char* taken_ = nullptr;
  bool failed_ = false;
};

}  // namespace glm::runner
