// Filters for numbers, defaults and JSON.
#include <cmath>
#include <cstdlib>
#include <string>
#include <utility>

#include "runner/text/jinja/filters.h"
#include "runner/text/jinja/json.h"
#include "runner/text/jinja/number_text.h"
#include "runner/text/jinja/python_text.h"

namespace glm::runner::jinja {
namespace {

using Made = Result<Value>;

Made default_filter(Engine&, const Value& self, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("default", {"default_value", "boolean"}, 0));
  const bool also_false = flag_argument(bound[1], false);
  if (!self.is(Kind::undefined) && !(also_false && !truthy(self))) return self;
  return bound[0].is(Kind::missing) ? Value::text("") : bound[0];
}

Made tojson_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  const auto bound =
      GLM_TRY(arguments.bind("tojson", {"ensure_ascii", "indent", "separators", "sort_keys"}, 0));
  DumpOptions options;
  options.ensure_ascii = flag_argument(bound[0], false);
  options.sort_keys = flag_argument(bound[3], false);
  if (bound[1].is(Kind::text)) {
    options.indented = true;
    options.indent = bound[1].text();
  } else if (!bound[1].is(Kind::missing) && !bound[1].is(Kind::none)) {
    const Int width = GLM_TRY(int_argument(bound[1], "indent", 0));
    if (width > 1024) return make_error(Errc::exhausted, "tojson: an indent of more than 1024");
    options.indented = true;
    options.indent.assign(width < 0 ? 0 : static_cast<std::size_t>(width), ' ');
  }
  if (options.indented) options.item_separator.assign(1, ',');
  if (!bound[2].is(Kind::missing) && !bound[2].is(Kind::none)) {
    const auto parts = GLM_TRY(iterate(engine.room(), bound[2]));
    if (parts.size() != 2 || !parts[0].is(Kind::text) || !parts[1].is(Kind::text)) {
      return make_error(Errc::invalid_argument, "tojson: separators wants two strings");
    }
    options.item_separator = parts[0].text();
    options.key_separator = parts[1].text();
  }
  return engine.text(GLM_TRY(dump_json(engine.room(), self, options)));
}

Made from_json_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  GLM_TRY(arguments.bind("from_json", {}, 0));
  return parse_json(engine.room(), GLM_TRY(text_argument(self, "value", "")));
}

Made int_filter(Engine&, const Value& self, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("int", {"default", "base"}, 0));
  const Value fallback = bound[0].is(Kind::missing) ? Value::integer(0) : bound[0];
  const Int base = GLM_TRY(int_argument(bound[1], "base", 10));
  GLM_TRY(require_defined(self));
  if (self.is_integral()) return Value::integer(self.integral());
  if (self.is(Kind::real)) return truncated(self.real()).value_or(fallback);
  if (!self.is(Kind::text)) return fallback;
  if (const auto number = parse_int(self.text(), base)) return Value::integer(*number);
  if (const auto number = parse_float(self.text())) return truncated(*number).value_or(fallback);
  return fallback;
}

Made float_filter(Engine&, const Value& self, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("float", {"default"}, 0));
  GLM_TRY(require_defined(self));
  if (self.is_number()) return Value::real(self.number());
  if (self.is(Kind::text)) {
    if (const auto number = parse_float(self.text())) return Value::real(*number);
  }
  return bound[0].is(Kind::missing) ? Value::real(0) : bound[0];
}

Made abs_filter(Engine&, const Value& self, const Arguments& arguments) {
  GLM_TRY(arguments.bind("abs", {}, 0));
  if (self.is(Kind::real)) return Value::real(std::fabs(self.real()));
  if (self.is_integral() && self.integral() >= 0) return Value::integer(self.integral());
  return negate(self);
}

// Python's round() goes to the even neighbour from the middle, by the number's decimal digits.
double round_common(double value, int precision) {
  if (precision <= 0) {
    const double scale = std::pow(10.0, -precision);
    return std::nearbyint(value / scale) * scale;
  }
  return std::strtod(fmt::format("{:.{}f}", value, precision).c_str(), nullptr);
}

Made round_filter(Engine&, const Value& self, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("round", {"precision", "method"}, 0));
  const Int precision = GLM_TRY(int_argument(bound[0], "precision", 0));
  const std::string method = GLM_TRY(text_argument(bound[1], "method", "common"));
  GLM_TRY(require_defined(self));
  if (!self.is_number()) {
    return make_error(Errc::invalid_argument, "round wants a number, got {}", type_name(self));
  }
  if (precision < -300 || precision > 300) {
    return make_error(Errc::invalid_argument, "round: the precision is outside [-300, 300]");
  }
  if (method == "common") {
    if (self.is_integral() && precision >= 0) return Value::integer(self.integral());
    const double rounded = round_common(self.number(), static_cast<int>(precision));
    if (self.is_integral()) return truncated(rounded).value_or(self);
    return Value::real(rounded);
  }
  const double scale = std::pow(10.0, static_cast<double>(precision));
  if (method == "ceil") return Value::real((std::ceil(self.number() * scale) + 0.0) / scale);
  if (method == "floor") return Value::real((std::floor(self.number() * scale) + 0.0) / scale);
  return make_error(Errc::invalid_argument, "round: method is common, ceil or floor, not '{}'",
                    method);
}

Made attr_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("attr", {"name"}, 1));
  const std::string name = GLM_TRY(text_argument(bound[0], "name", ""));
  GLM_TRY(require_defined(self));
  // Attributes only, never items.
  if (self.is(Kind::dict) && find_method(Kind::dict, name) == nullptr) {
    return Value::undefined(fmt::format("'dict object' has no attribute '{}'", name));
  }
  return attribute(engine, self, name);
}

constexpr Builtin<Native> kTable[] = {
    {"abs", &abs_filter},         {"attr", &attr_filter},   {"d", &default_filter},
    {"default", &default_filter}, {"float", &float_filter}, {"from_json", &from_json_filter},
    {"int", &int_filter},         {"round", &round_filter}, {"tojson", &tojson_filter},
};

}  // namespace

std::span<const Builtin<Native>> value_filters() {
  return kTable;
}

}  // namespace glm::runner::jinja
