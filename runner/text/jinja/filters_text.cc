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

// Text made of `self`: Markup if that is.
Made like(Engine& engine, const Value& self, std::string text) {
  const Value made = GLM_TRY(engine.text(std::move(text)));
  return made.as_markup(self.is_markup());
}

template <std::string (*convert)(std::string_view)>
Made convert_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  GLM_TRY(arguments.bind("filter", {}, 0));
  return like(engine, self, convert(GLM_TRY(to_text(self))));
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
  if (given && characters.empty()) return like(engine, self, text);
  return like(engine, self, std::string(strip(text, characters, {})));
}

Made string_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  GLM_TRY(arguments.bind("string", {}, 0));
  return as_text(engine, self);
}

Made safe_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  GLM_TRY(arguments.bind("safe", {}, 0));
  return GLM_TRY(as_text(engine, self)).as_markup();
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
  if (!self.is(Kind::text)) {
    GLM_TRY(require_defined(self));
    return make_error(Errc::invalid_argument, "indent wants a text, got {}", type_name(self));
  }
  const std::string text = self.text() + "\n";
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
  return like(engine, self, std::move(out));
}

Made center_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("center", {"width"}, 0));
  const Int width = GLM_TRY(int_argument(bound[0], "width", 80));
  const Value padded = GLM_TRY(pad_text(engine, GLM_TRY(to_text(self)), width, " ", Align::center));
  return padded.as_markup(self.is_markup());
}

Made truncate_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  const auto bound =
      GLM_TRY(arguments.bind("truncate", {"length", "killwords", "end", "leeway"}, 0));
  const Int length = GLM_TRY(int_argument(bound[0], "length", 255));
  const bool kill_words = flag_argument(bound[1], false);
  const std::string end = GLM_TRY(text_argument(bound[2], "end", "..."));
  const Int leeway = GLM_TRY(int_argument(bound[3], "leeway", 5));
  const Int keep = length - static_cast<Int>(character_count(end));
  if (keep < 0)
    return make_error(Errc::invalid_argument, "truncate: the length is below the end's");
  if (leeway < 0) return make_error(Errc::invalid_argument, "truncate: the leeway is negative");
  const Value size = GLM_TRY(find_filter("length")(engine, self, {}));
  if (size.integral() <= length + leeway) return self;
  if (!self.is(Kind::text)) {
    return make_error(Errc::invalid_argument, "truncate wants a text, got {}", type_name(self));
  }
  const std::string& text = self.text();
  std::size_t at = 0;
  for (Int i = 0; i < keep; ++i) at += utf8_character(text, at).length_bytes;
  std::string_view kept = std::string_view(text).substr(0, at);
  if (!kill_words) kept = kept.substr(0, kept.rfind(' '));
  return like(engine, self, std::string(kept) + (self.is_markup() ? escape_html(end) : end));
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
  return escaped(engine.room(), self);
}

Made forceescape_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  GLM_TRY(arguments.bind("forceescape", {}, 0));
  return escaped(engine.room(), self.as_markup(false));
}

// Inside of a query "/" is escaped and a blank is "+".
enum class Url { path, query };

std::string url_text(std::string_view text, Url where) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                       std::string_view("_.-~").find(c) != std::string_view::npos;
    if (plain || (where == Url::path && c == '/')) {
      out.push_back(c);
    } else if (where == Url::query && c == ' ') {
      out.push_back('+');
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

Made urlencode_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  GLM_TRY(arguments.bind("urlencode", {}, 0));
  if (self.is(Kind::text) || !iterable(self)) {
    return engine.text(url_text(GLM_TRY(to_text(self)), Url::path));
  }
  const Value pairs = self.is(Kind::dict) ? GLM_TRY(find_filter("items")(engine, self, {})) : self;
  std::string out;
  for (const Value& pair : GLM_TRY(iterate(engine.room(), pairs))) {
    const auto parts = GLM_TRY(iterate(engine.room(), pair));
    if (parts.size() != 2) {
      return make_error(Errc::invalid_argument, "urlencode wants pairs of key and value");
    }
    if (!out.empty()) out.push_back('&');
    out += url_text(GLM_TRY(to_text(parts[0])), Url::query);
    out.append("=").append(url_text(GLM_TRY(to_text(parts[1])), Url::query));
  }
  return engine.text(std::move(out));
}

constexpr Builtin<Native> kTable[] = {
    {"capitalize", &convert_filter<capitalize>},
    {"center", &center_filter},
    {"e", &escape_filter},
    {"escape", &escape_filter},
    {"forceescape", &forceescape_filter},
    {"format", &format_filter},
    {"indent", &indent_filter},
    {"lower", &convert_filter<lower>},
    {"replace", &replace_filter},
    {"safe", &safe_filter},
    {"string", &string_filter},
    {"title", &title_filter},
    {"trim", &trim_filter},
    {"truncate", &truncate_filter},
    {"upper", &convert_filter<upper>},
    {"urlencode", &urlencode_filter},
    {"wordcount", &wordcount_filter},
};

}  // namespace

std::span<const Builtin<Native>> text_filters() {
  return kTable;
}

}  // namespace glm::runner::jinja
