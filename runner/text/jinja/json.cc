#include "runner/text/jinja/json.h"
#include "runner/text/bounded_json.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "runner/text/jinja/python_text.h"
#include "runner/text/utf8.h"

namespace glm::runner::jinja {
namespace {

using Json = nlohmann::ordered_json;

Result<Value> convert(Room& room, const Json& json, int depth) {
  if (depth > kNestingMax) {
    return make_error(Errc::exhausted, "JSON nested more than {} deep", kNestingMax);
  }
  switch (json.type()) {
    case Json::value_t::boolean:
      return Value::boolean(json.get<bool>());
    case Json::value_t::number_integer:
      return Value::integer(json.get<std::int64_t>());
    case Json::value_t::number_unsigned:
      return Value::integer(static_cast<Int>(json.get<std::uint64_t>()));
    case Json::value_t::number_float:
      return Value::real(json.get<double>());
    case Json::value_t::string: {
      const auto& text = json.get_ref<const std::string&>();
      if (!is_valid_utf8(text)) {
        return make_error(Errc::invalid_argument, "a text in the context is not UTF-8");
      }
      return Value::text(text);
    }
    case Json::value_t::array: {
      std::vector<Value> items;
      items.reserve(json.size());
      for (const Json& item : json) items.push_back(GLM_TRY(convert(room, item, depth + 1)));
      return room.heap.list(std::move(items));
    }
    case Json::value_t::object: {
      Dict* dict = room.heap.make<Dict>();
      for (const auto& [key, value] : json.items()) {
        dict->set(key, GLM_TRY(convert(room, value, depth + 1)));
      }
      return Value::dict(dict);
    }
    default:
      return Value::none();
  }
}

class Dumper {
 public:
  Dumper(Room& room, const DumpOptions& options) : room_(room), options_(options) {}

  Result<std::string> run(const Value& value) {
    GLM_TRY(append(value, 0));
    GLM_TRY(room_.meter.text(out_.size()));
    return std::move(out_);
  }

 private:
  Status append(const Value& value, int depth) {
    if (depth > kNestingMax) {
      return make_error(Errc::exhausted, "data nested more than {} deep cannot be JSON",
                        kNestingMax);
    }
    if (out_.size() > kTextMaxBytes) return room_.meter.text(out_.size());
    GLM_TRY(room_.meter.spend(1));
    switch (value.kind()) {
      case Kind::none:
        out_ += "null";
        return Ok{};
      case Kind::boolean:
        out_ += value.boolean() ? "true" : "false";
        return Ok{};
      case Kind::integer:
        out_ += int_text(value.integral());
        return Ok{};
      case Kind::real:
        out_ += number(value.real());
        return Ok{};
      case Kind::text:
        append_text(value.text());
        return Ok{};
      case Kind::list:
      case Kind::tuple:
        return append_list(value.items(), depth);
      case Kind::dict:
        return append_dict(value.dict(), depth);
      default:
        return make_error(Errc::invalid_argument, "Object of type {} is not JSON serializable",
                          type_name(value));
    }
  }

  static std::string number(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
    return float_repr(value);
  }

  void new_line(int depth) {
    if (!options_.indented) return;
    out_.push_back('\n');
    for (int i = 0; i < depth; ++i) out_ += options_.indent;
  }

  Status append_list(const List& list, int depth) {
    out_.push_back('[');
    bool first = true;
    for (const Value& item : list.items) {
      if (!first) out_ += options_.item_separator;
      first = false;
      new_line(depth + 1);
      GLM_TRY(append(item, depth + 1));
    }
    if (!first) new_line(depth);
    out_.push_back(']');
    return Ok{};
  }

  Result<std::string> key_text(const Value& key) const {
    switch (key.kind()) {
      case Kind::text:
        return key.text();
      case Kind::none:
        return std::string("null");
      case Kind::boolean:
        return std::string(key.boolean() ? "true" : "false");
      case Kind::integer:
        return int_text(key.integral());
      case Kind::real:
        return number(key.real());
      default:
        return make_error(Errc::invalid_argument,
                          "keys must be str, int, float, bool or None, not {}", type_name(key));
    }
  }

  Status append_dict(const Dict& dict, int depth) {
    std::vector<const Dict::Entry*> entries;
    for (const auto& entry : dict.entries()) entries.push_back(&entry);
    if (options_.sort_keys) GLM_TRY(sort(entries));
    out_.push_back('{');
    bool first = true;
    for (const Dict::Entry* entry : entries) {
      if (!first) out_ += options_.item_separator;
      first = false;
      new_line(depth + 1);
      append_text(GLM_TRY(key_text(entry->first)));
      out_ += options_.key_separator;
      GLM_TRY(append(entry->second, depth + 1));
    }
    if (!first) new_line(depth);
    out_.push_back('}');
    return Ok{};
  }

  static Status sort(std::vector<const Dict::Entry*>& entries) {
    // An order exists if every key can be compared with the first.
    for (const Dict::Entry* entry : entries) {
      GLM_TRY(order("<", entry->first, entries.front()->first));
    }
    std::stable_sort(entries.begin(), entries.end(), [](const auto* a, const auto* b) {
      const auto compared = order("<", a->first, b->first);
      return compared.ok() && *compared == std::partial_ordering::less;
    });
    return Ok{};
  }

  void append_text(std::string_view text) {
    out_.push_back('"');
    for (std::size_t at = 0; at < text.size();) {
      const Utf8Step step = utf8_character(text, at);
      append_character(step.code_point, text.substr(at, step.length_bytes));
      at += step.length_bytes;
    }
    out_.push_back('"');
  }

  void append_character(char32_t c, std::string_view bytes) {
    switch (c) {
      case '"':
        out_ += "\\\"";
        return;
      case '\\':
        out_ += "\\\\";
        return;
      case '\n':
        out_ += "\\n";
        return;
      case '\r':
        out_ += "\\r";
        return;
      case '\t':
        out_ += "\\t";
        return;
      case '\f':
        out_ += "\\f";
        return;
      case '\b':
        out_ += "\\b";
        return;
      default:
        break;
    }
    const bool escaped = c < 0x20 || (options_.ensure_ascii && c > 0x7E);
    if (!escaped) {
      out_ += bytes;
    } else if (c < 0x10000) {
      append_unit(static_cast<unsigned>(c));
    } else {
      append_unit(static_cast<unsigned>(0xD800 + ((c - 0x10000) >> 10)));
      append_unit(static_cast<unsigned>(0xDC00 + ((c - 0x10000) & 0x3FF)));
    }
  }

  void append_unit(unsigned unit) { out_ += fmt::format("\\u{:04x}", unit); }

  Room& room_;
  const DumpOptions& options_;
  std::string out_;
};

}  // namespace

Result<Value> from_json(Room& room, const Json& json) {
  return convert(room, json, 0);
}

Result<Value> parse_json(Room& room, std::string_view text) {
  const Json json = parse_bounded_json(text);
  if (json.is_discarded()) return make_error(Errc::invalid_argument, "from_json: not JSON");
  return from_json(room, json);
}

Result<std::string> dump_json(Room& room, const Value& value, const DumpOptions& options) {
  return Dumper(room, options).run(value);
}

}  // namespace glm::runner::jinja
