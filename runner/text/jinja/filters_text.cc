// Filters that make their input text first.
#include <algorithm>
#include <utility>

#include "runner/text/jinja/filters.h"
#include "runner/text/jinja/python_text.h"
#include "runner/text/jinja/text_format.h"
#include "runner/text/jinja/text_methods.h"
#include "runner/text/utf8.h"

namespace glm::runner::jinja {
namespace {

using Made = Result<Value>;

// The input as text, then the method of the same name.
Made as_text(Engine& engine, const Value& self) {
  if (self.is(Kind::text)) return self;
  return engine.text(GLM_TRY(to_text(self)));
}

Made upper_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  GLM_TRY(arguments.bind("upper", {}, 0));
  return engine.text(upper(GLM_TRY(to_text(self))));
}

Made lower_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  GLM_TRY(arguments.bind("lower", {}, 0));
  return engine.text(lower(GLM_TRY(to_text(self))));
}

Made capitalize_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  GLM_TRY(arguments.bind("capitalize", {}, 0));
  return engine.text(capitalize(GLM_TRY(to_text(self))));
}

// Jinja's own idea: a word begins after white space, "-" or an opening bracket.
Made title_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  GLM_TRY(arguments.bind("title", {}, 0));
  const std::string text = GLM_TRY(to_text(self));
  std::string out;
  bool begins = true;
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_character(text, at);
    const std::string_view c = std::string_view(text).substr(at, step.length_bytes);
    out += begins ? upper(c) : lower(c);
    begins = is_python_space(step.code_point) ||
             std::string_view("-({[<").find(c) != std::string_view::npos;
    at += step.length_bytes;
  }
  return engine.text(std::move(out));
}

Made trim_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("trim", {"chars"}, 0));
  const std::string text = GLM_TRY(to_text(self));
  const bool given = !bound[0].is(Kind::missing) && !bound[0].is(Kind::none);
  const std::string characters = GLM_TRY(text_argument(bound[0], "chars", ""));
  if (given && characters.empty()) return engine.text(text);
  return engine.text(std::string(strip(text, characters, {})));
}

Made string_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  GLM_TRY(arguments.bind("string", {}, 0));
  return as_text(engine, self);
}

Made replace_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("replace", {"old", "new", "count"}, 2));
  const std::string text = GLM_TRY(to_text(self));
  const std::string from = GLM_TRY(to_text(bound[0]));
  const std::string to = GLM_TRY(to_text(bound[1]));
  return replace_text(engine, text, from, to, GLM_TRY(int_argument(bound[2], "count", -1)));
}

Made indent_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("indent", {"width", "first", "blank"}, 0));
  std::string indentation;
  if (bound[0].is(Kind::text)) {
    indentation = bound[0].text();
  } else {
    const Int width = GLM_TRY(int_argument(bound[0], "width", 4));
    if (width > 1 << 16) return make_error(Errc::exhausted, "indent: a width of more than 65536");
    indentation.assign(static_cast<std::size_t>(std::max<Int>(width, 0)), ' ');
  }
  const bool first = flag_argument(bound[1], false);
  const bool blank = flag_argument(bound[2], false);
  const std::string text = GLM_TRY(to_text(self)) + "\n";
  std::string out;
  if (first) out += indentation;
  bool first_line = true;
  for (const std::string_view line : split_lines(text)) {
    if (!first_line) out.push_back('\n');
    if (!first_line && (blank || !line.empty())) out += indentation;
    first_line = false;
    out += line;
    if (out.size() > kTextMaxBytes) break;
  }
  return engine.text(std::move(out));
}

Made center_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("center", {"width"}, 0));
  const Int width = GLM_TRY(int_argument(bound[0], "width", 80));
  return pad_text(engine, GLM_TRY(to_text(self)), width, " ", Align::center);
}

Made truncate_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  const auto bound =
      GLM_TRY(arguments.bind("truncate", {"length", "killwords", "end", "leeway"}, 0));
  const Int length = GLM_TRY(int_argument(bound[0], "length", 255));
  const bool kill_words = flag_argument(bound[1], false);
  const std::string end = GLM_TRY(text_argument(bound[2], "end", "..."));
  const Int leeway = GLM_TRY(int_argument(bound[3], "leeway", 5));
  const std::string text = GLM_TRY(to_text(self));
  const Int keep = length - static_cast<Int>(character_count(end));
  if (keep < 0)
    return make_error(Errc::invalid_argument, "truncate: the length is below the end's");
  if (leeway < 0) return make_error(Errc::invalid_argument, "truncate: the leeway is negative");
  if (static_cast<Int>(character_count(text)) <= length + leeway) return engine.text(text);
  std::size_t at = 0;
  for (Int i = 0; i < keep; ++i) at += utf8_character(text, at).length_bytes;
  std::string_view kept = std::string_view(text).substr(0, at);
  if (!kill_words) kept = kept.substr(0, kept.rfind(' '));
  return engine.text(std::string(kept) + end);
}

Made wordcount_filter(Engine&, const Value& self, const Arguments& arguments) {
  GLM_TRY(arguments.bind("wordcount", {}, 0));
  const std::string text = GLM_TRY(to_text(self));
  Int words = 0;
  bool inside = false;
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_character(text, at);
    const bool word = is_word(step.code_point);
    if (word && !inside) ++words;
    inside = word;
    at += step.length_bytes;
  }
  return Value::integer(words);
}

Made format_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  if (!arguments.named.empty() && !arguments.positional.empty()) {
    return make_error(Errc::invalid_argument,
                      "format can take positional or keyword arguments, not both");
  }
  Value values;
  if (arguments.named.empty()) {
    values = engine.heap().tuple(arguments.positional);
  } else {
    Dict* dict = engine.heap().make<Dict>();
    for (const auto& [name, value] : arguments.named) dict->set(name, value);
    values = Value::dict(dict);
  }
  return percent_format(engine.room(), GLM_TRY(as_text(engine, self)), values);
}

Made escape_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  GLM_TRY(arguments.bind("escape", {}, 0));
  std::string out;
  for (const char c : GLM_TRY(to_text(self))) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&#34;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out.push_back(c);
    }
  }
  return engine.text(std::move(out));
}

Made urlencode_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  GLM_TRY(arguments.bind("urlencode", {}, 0));
  std::string out;
  for (const char c : GLM_TRY(to_text(self))) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                       std::string_view("_.-~/").find(c) != std::string_view::npos;
    if (plain) {
      out.push_back(c);
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return engine.text(std::move(out));
}

constexpr Builtin<Native> kTable[] = {
    {"capitalize", &capitalize_filter},
    {"center", &center_filter},
    {"e", &escape_filter},
    {"escape", &escape_filter},
    {"forceescape", &escape_filter},
    {"format", &format_filter},
    {"indent", &indent_filter},
    {"lower", &lower_filter},
    {"replace", &replace_filter},
    {"safe", &string_filter},  // nothing is escaped, so everything is safe
    {"string", &string_filter},
    {"title", &title_filter},
    {"trim", &trim_filter},
    {"truncate", &truncate_filter},
    {"upper", &upper_filter},
    {"urlencode", &urlencode_filter},
    {"wordcount", &wordcount_filter},
};

}  // namespace

std::span<const Builtin<Native>> text_filters() {
  return kTable;
}

}  // namespace glm::runner::jinja
