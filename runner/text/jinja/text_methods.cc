#include "runner/text/jinja/text_methods.h"

#include <algorithm>
#include <utility>

#include "runner/text/jinja/builtin_table.h"
#include "runner/text/jinja/python_text.h"
#include "runner/text/jinja/text_format.h"
#include "runner/text/utf8.h"

namespace glm::runner::jinja {
namespace {

using Made = Result<Value>;

// Methods without arguments.
template <std::string (*convert)(std::string_view)>
Made convert_method(Engine& engine, const Value& self, const Arguments& arguments) {
  GLM_TRY(arguments.bind("str method", {}, 0));
  GLM_TRY(engine.meter().text(self.text().size()));
  return engine.text(convert(self.text()));
}

std::string swap_case(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_character(text, at);
    const std::string_view c = text.substr(at, step.length_bytes);
    out += is_cased_upper(step.code_point) ? lower(c) : upper(c);
    at += step.length_bytes;
  }
  return out;
}

template <StripSides sides>
Made strip_method(Engine& engine, const Value& self, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("strip", {"chars"}, 0));
  const bool given = !bound[0].is(Kind::missing) && !bound[0].is(Kind::none);
  const std::string characters = GLM_TRY(text_argument(bound[0], "chars", ""));
  if (given && characters.empty()) return self;
  return engine.text(std::string(strip(self.text(), characters, sides)));
}

Value piece(std::string_view text) {
  return Value::text(std::string(text));
}

std::vector<Value> split_spaces(std::string_view text, Int limit) {
  std::vector<Value> out;
  while (true) {
    text = strip(text, {}, {.right = false});
    if (text.empty()) return out;
    if (limit >= 0 && static_cast<Int>(out.size()) >= limit) {
      out.push_back(piece(text));
      return out;
    }
    std::size_t end = 0;
    while (end < text.size()) {
      const Utf8Step step = utf8_character(text, end);
      if (is_python_space(step.code_point)) break;
      end += step.length_bytes;
    }
    out.push_back(piece(text.substr(0, end)));
    text.remove_prefix(end);
  }
}

std::vector<Value> rsplit_spaces(std::string_view text, Int limit) {
  std::vector<Value> out;
  while (true) {
    text = strip(text, {}, {.left = false});
    if (text.empty()) break;
    if (limit >= 0 && static_cast<Int>(out.size()) >= limit) {
      out.push_back(piece(text));
      break;
    }
    std::size_t first = text.size();
    while (first > 0) {
      const std::size_t before = previous_character(text, first);
      if (is_python_space(utf8_character(text, before).code_point)) break;
      first = before;
    }
    out.push_back(piece(text.substr(first)));
    text = text.substr(0, first);
  }
  std::reverse(out.begin(), out.end());
  return out;
}

std::vector<Value> split_by(std::string_view text, std::string_view separator, Int limit) {
  std::vector<Value> out;
  while (limit < 0 || static_cast<Int>(out.size()) < limit) {
    const std::size_t found = text.find(separator);
    if (found == std::string_view::npos) break;
    out.push_back(piece(text.substr(0, found)));
    text.remove_prefix(found + separator.size());
  }
  out.push_back(piece(text));
  return out;
}

std::vector<Value> rsplit_by(std::string_view text, std::string_view separator, Int limit) {
  std::vector<Value> out;
  while (limit < 0 || static_cast<Int>(out.size()) < limit) {
    const std::size_t found = text.rfind(separator);
    if (found == std::string_view::npos) break;
    out.push_back(piece(text.substr(found + separator.size())));
    text = text.substr(0, found);
  }
  out.push_back(piece(text));
  std::reverse(out.begin(), out.end());
  return out;
}

enum class End { left, right };

template <End end>
Made split_method(Engine& engine, const Value& self, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("split", {"sep", "maxsplit"}, 0));
  const Int limit = GLM_TRY(int_argument(bound[1], "maxsplit", -1));
  GLM_TRY(engine.meter().text(self.text().size()));
  if (bound[0].is(Kind::missing) || bound[0].is(Kind::none)) {
    return engine.list(end == End::left ? split_spaces(self.text(), limit)
                                        : rsplit_spaces(self.text(), limit));
  }
  const std::string separator = GLM_TRY(text_argument(bound[0], "sep", ""));
  if (separator.empty()) return make_error(Errc::invalid_argument, "empty separator");
  return engine.list(end == End::left ? split_by(self.text(), separator, limit)
                                      : rsplit_by(self.text(), separator, limit));
}

Made splitlines_method(Engine& engine, const Value& self, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("splitlines", {"keepends"}, 0));
  const bool keep = flag_argument(bound[0], false);
  GLM_TRY(engine.meter().text(self.text().size()));
  const std::string& text = self.text();
  std::vector<Value> out;
  std::size_t next = 0;  // where the following line begins
  const auto lines = split_lines(text);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const auto first = static_cast<std::size_t>(lines[i].data() - text.data());
    next = i + 1 < lines.size() ? static_cast<std::size_t>(lines[i + 1].data() - text.data())
                                : text.size();
    out.push_back(keep ? piece(std::string_view(text).substr(first, next - first))
                       : piece(lines[i]));
  }
  return engine.list(std::move(out));
}

// A position in characters, from Python's start and end arguments.
struct Window {
  std::string_view text;
  std::size_t first_character;
  bool possible;  // false: start lies behind the end
};

Result<Window> window(std::string_view text, const Value& start, const Value& end) {
  const auto length = static_cast<Int>(character_count(text));
  const auto clamp = [&](Int at) { return std::clamp<Int>(at < 0 ? at + length : at, 0, length); };
  const Int wanted = GLM_TRY(int_argument(start, "start", 0));
  const Int first = clamp(wanted);
  const Int last = clamp(GLM_TRY(int_argument(end, "end", length)));
  const auto offset = [&](Int characters) {
    std::size_t at = 0;
    for (Int i = 0; i < characters; ++i) at += utf8_character(text, at).length_bytes;
    return at;
  };
  const bool possible = first <= last && wanted <= length;
  const std::size_t from = offset(first);
  return Window{possible ? text.substr(from, offset(last) - from) : std::string_view(),
                static_cast<std::size_t>(first), possible};
}

template <End end>
Result<Int> find_in(Engine& engine, const Value& self, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("find", {"sub", "start", "end"}, 1));
  const std::string sought = GLM_TRY(text_argument(bound[0], "sub", ""));
  GLM_TRY(engine.meter().text(self.text().size()));
  const Window in = GLM_TRY(window(self.text(), bound[1], bound[2]));
  if (!in.possible) return Int(-1);
  const std::size_t found = end == End::left ? in.text.find(sought) : in.text.rfind(sought);
  if (found == std::string_view::npos) return Int(-1);
  return static_cast<Int>(in.first_character + character_count(in.text.substr(0, found)));
}

template <End end>
Made find_method(Engine& engine, const Value& self, const Arguments& arguments) {
  return Value::integer(GLM_TRY(find_in<end>(engine, self, arguments)));
}

template <End end>
Made index_method(Engine& engine, const Value& self, const Arguments& arguments) {
  const Int found = GLM_TRY(find_in<end>(engine, self, arguments));
  if (found < 0) return make_error(Errc::invalid_argument, "substring not found");
  return Value::integer(found);
}

Made count_method(Engine& engine, const Value& self, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("count", {"sub", "start", "end"}, 1));
  const std::string sought = GLM_TRY(text_argument(bound[0], "sub", ""));
  GLM_TRY(engine.meter().text(self.text().size()));
  const Window in = GLM_TRY(window(self.text(), bound[1], bound[2]));
  if (!in.possible) return Value::integer(0);
  if (sought.empty()) return Value::integer(static_cast<Int>(character_count(in.text)) + 1);
  Int count = 0;
  for (std::size_t at = in.text.find(sought); at != std::string_view::npos;
       at = in.text.find(sought, at + sought.size())) {
    ++count;
  }
  return Value::integer(count);
}

// One text, or a tuple of which any will do.
template <End end>
Made affix_method(Engine&, const Value& self, const Arguments& arguments) {
  const char* name = end == End::left ? "startswith" : "endswith";
  const auto bound = GLM_TRY(arguments.bind(name, {"affix", "start", "end"}, 1));
  const Window in = GLM_TRY(window(self.text(), bound[1], bound[2]));
  const auto fits = [&](const Value& affix) -> Result<bool> {
    if (!affix.is(Kind::text)) {
      GLM_TRY(require_defined(affix));
      return make_error(Errc::invalid_argument,
                        "{} first arg must be str or a tuple of str, not {}", name,
                        type_name(affix));
    }
    return in.possible &&
           (end == End::left ? in.text.starts_with(affix.text()) : in.text.ends_with(affix.text()));
  };
  if (!bound[0].is(Kind::tuple)) return Value::boolean(GLM_TRY(fits(bound[0])));
  for (const Value& affix : bound[0].items().items) {
    if (GLM_TRY(fits(affix))) return Value::boolean(true);
  }
  return Value::boolean(false);
}

template <End end>
Made remove_affix_method(Engine& engine, const Value& self, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("removeprefix", {"affix"}, 1));
  const std::string affix = GLM_TRY(text_argument(bound[0], "affix", ""));
  std::string_view text = self.text();
  if (end == End::left && text.starts_with(affix)) text.remove_prefix(affix.size());
  if (end == End::right && text.ends_with(affix)) text.remove_suffix(affix.size());
  return engine.text(std::string(text));
}

template <End end>
Made partition_method(Engine& engine, const Value& self, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("partition", {"sep"}, 1));
  const std::string separator = GLM_TRY(text_argument(bound[0], "sep", ""));
  if (separator.empty()) return make_error(Errc::invalid_argument, "empty separator");
  const std::string_view text = self.text();
  GLM_TRY(engine.meter().text(text.size()));
  const std::size_t at = end == End::left ? text.find(separator) : text.rfind(separator);
  std::vector<Value> parts;
  if (at != std::string_view::npos) {
    parts = {piece(text.substr(0, at)), piece(separator),
             piece(text.substr(at + separator.size()))};
  } else if (end == End::left) {
    parts = {self, piece(""), piece("")};
  } else {
    parts = {piece(""), piece(""), self};
  }
  return engine.heap().tuple(std::move(parts));
}

Made replace_method(Engine& engine, const Value& self, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("replace", {"old", "new", "count"}, 2));
  const std::string from = GLM_TRY(text_argument(bound[0], "old", ""));
  const std::string to = GLM_TRY(text_argument(bound[1], "new", ""));
  return replace_text(engine, self.text(), from, to, GLM_TRY(int_argument(bound[2], "count", -1)));
}

Made join_method(Engine& engine, const Value& self, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("join", {"iterable"}, 1));
  std::string out;
  bool first = true;
  for (const Value& item : GLM_TRY(iterate(engine.room(), bound[0]))) {
    if (!item.is(Kind::text)) {
      return make_error(Errc::invalid_argument, "sequence item: expected str instance, {} found",
                        type_name(item));
    }
    if (!first) out += self.text();
    first = false;
    out += item.text();
    if (out.size() > kTextMaxBytes) break;
  }
  return engine.text(std::move(out));
}

template <Align align>
Made pad_method(Engine& engine, const Value& self, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("ljust", {"width", "fillchar"}, 1));
  const Int width = GLM_TRY(int_argument(bound[0], "width", 0));
  return pad_text(engine, self.text(), width, GLM_TRY(text_argument(bound[1], "fillchar", " ")),
                  align);
}

Made zfill_method(Engine& engine, const Value& self, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("zfill", {"width"}, 1));
  const Int width = GLM_TRY(int_argument(bound[0], "width", 0));
  const std::string_view text = self.text();
  const bool sign = text.starts_with('-') || text.starts_with('+');
  const Value digits = GLM_TRY(
      pad_text(engine, text.substr(sign ? 1 : 0), width - (sign ? 1 : 0), "0", Align::right));
  return engine.text(std::string(text.substr(0, sign ? 1 : 0)) + digits.text());
}

Made format_method(Engine& engine, const Value& self, const Arguments& arguments) {
  // {} , {0}, {name}: no format specifications, which templates do not use.
  const std::string_view text = self.text();
  std::string out;
  std::size_t next = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if ((c == '{' || c == '}') && at + 1 < text.size() && text[at + 1] == c) {
      out.push_back(c);
      ++at;
      continue;
    }
    if (c != '{') {
      out.push_back(c);
      continue;
    }
    const std::size_t close = text.find('}', at);
    if (close == std::string_view::npos) {
      return make_error(Errc::invalid_argument, "expected '}}' before end of string");
    }
    const std::string_view field = text.substr(at + 1, close - at - 1);
    const bool numbered =
        std::all_of(field.begin(), field.end(), [](char d) { return d >= '0' && d <= '9'; });
    if (numbered && field.size() < 6) {
      const std::size_t index =
          field.empty() ? next++ : static_cast<std::size_t>(std::stoul(std::string(field)));
      if (index >= arguments.positional.size()) {
        return make_error(Errc::invalid_argument, "format() has no argument {}", index);
      }
      out += GLM_TRY(to_text(arguments.positional[index]));
    } else {
      const auto named = std::find_if(arguments.named.begin(), arguments.named.end(),
                                      [&](const auto& entry) { return entry.first == field; });
      if (named == arguments.named.end()) {
        return make_error(Errc::invalid_argument, "format() has no argument '{}'", field);
      }
      out += GLM_TRY(to_text(named->second));
    }
    if (out.size() > kTextMaxBytes) break;
    at = close;
  }
  return engine.text(std::move(out));
}

// Whether the text is not empty and all its characters are such.
template <bool (*is)(char32_t)>
Made all_method(Engine& engine, const Value& self, const Arguments& arguments) {
  GLM_TRY(arguments.bind("str method", {}, 0));
  const std::string_view text = self.text();
  GLM_TRY(engine.meter().text(text.size()));
  bool all = !text.empty();
  for (std::size_t at = 0; at < text.size() && all;) {
    const Utf8Step step = utf8_character(text, at);
    all = is(step.code_point);
    at += step.length_bytes;
  }
  return Value::boolean(all);
}

// At least one cased character, and none of the other case.
template <bool (*wanted)(char32_t), bool (*other)(char32_t)>
Made case_method(Engine& engine, const Value& self, const Arguments& arguments) {
  GLM_TRY(arguments.bind("str method", {}, 0));
  const std::string_view text = self.text();
  GLM_TRY(engine.meter().text(text.size()));
  bool any = false;
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_character(text, at);
    if (other(step.code_point)) return Value::boolean(false);
    any = any || wanted(step.code_point);
    at += step.length_bytes;
  }
  return Value::boolean(any);
}

bool is_alphanumeric(char32_t c) {
  return is_letter(c) || is_numeric(c);
}

Made isascii_method(Engine&, const Value& self, const Arguments&) {
  return Value::boolean(std::all_of(self.text().begin(), self.text().end(),
                                    [](char c) { return static_cast<unsigned char>(c) < 0x80; }));
}

constexpr Builtin<Native> kTextMethods[] = {
    {"capitalize", &convert_method<capitalize>},
    {"casefold", &convert_method<casefold>},
    {"center", &pad_method<Align::center>},
    {"count", &count_method},
    {"endswith", &affix_method<End::right>},
    {"find", &find_method<End::left>},
    {"format", &format_method},
    {"index", &index_method<End::left>},
    {"isalnum", &all_method<is_alphanumeric>},
    {"isalpha", &all_method<is_letter>},
    {"isascii", &isascii_method},
    {"isdecimal", &all_method<is_decimal>},
    {"isdigit", &all_method<is_decimal>},
    {"islower", &case_method<is_cased_lower, is_cased_upper>},
    {"isnumeric", &all_method<is_numeric>},
    {"isspace", &all_method<is_python_space>},
    {"isupper", &case_method<is_cased_upper, is_cased_lower>},
    {"join", &join_method},
    {"ljust", &pad_method<Align::left>},
    {"lower", &convert_method<lower>},
    {"lstrip", &strip_method<StripSides{.left = true, .right = false}>},
    {"partition", &partition_method<End::left>},
    {"removeprefix", &remove_affix_method<End::left>},
    {"removesuffix", &remove_affix_method<End::right>},
    {"replace", &replace_method},
    {"rfind", &find_method<End::right>},
    {"rindex", &index_method<End::right>},
    {"rjust", &pad_method<Align::right>},
    {"rpartition", &partition_method<End::right>},
    {"rsplit", &split_method<End::right>},
    {"rstrip", &strip_method<StripSides{.left = false, .right = true}>},
    {"split", &split_method<End::left>},
    {"splitlines", &splitlines_method},
    {"startswith", &affix_method<End::left>},
    {"strip", &strip_method<StripSides{}>},
    {"swapcase", &convert_method<swap_case>},
    {"title", &convert_method<title>},
    {"upper", &convert_method<upper>},
    {"zfill", &zfill_method},
};

}  // namespace

Native find_text_method(std::string_view name) {
  return find_builtin<Native>(kTextMethods, name);
}

Result<Value> replace_text(Engine& engine, std::string_view text, std::string_view from,
                           std::string_view to, Int count) {
  GLM_TRY(engine.meter().text(text.size()));
  std::string out;
  Int left = count < 0 ? static_cast<Int>(text.size()) + 1 : count;
  if (from.empty()) {  // between all characters
    for (std::size_t at = 0; at <= text.size();) {
      if (left > 0) out += to;
      --left;
      if (at == text.size() || out.size() > kTextMaxBytes) break;
      const std::size_t length_bytes = utf8_character(text, at).length_bytes;
      out += text.substr(at, length_bytes);
      at += length_bytes;
    }
    return engine.text(std::move(out));
  }
  std::size_t at = 0;
  for (; left > 0 && out.size() <= kTextMaxBytes; --left) {
    const std::size_t found = text.find(from, at);
    if (found == std::string_view::npos) break;
    out.append(text.substr(at, found - at)).append(to);
    at = found + from.size();
  }
  out.append(text.substr(at));
  return engine.text(std::move(out));
}

std::vector<std::string_view> split_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  std::size_t first = 0;
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_character(text, at);
    const char32_t c = step.code_point;
    const bool ends = (c >= 0xA && c <= 0xD) || (c >= 0x1C && c <= 0x1E) || c == 0x85 ||
                      c == 0x2028 || c == 0x2029;
    const std::size_t end = at;
    at += step.length_bytes;
    if (!ends) continue;
    if (c == '\r' && at < text.size() && text[at] == '\n') ++at;
    lines.push_back(text.substr(first, end - first));
    first = at;
  }
  if (first < text.size()) lines.push_back(text.substr(first));
  return lines;
}

Result<Value> pad_text(Engine& engine, std::string_view text, Int width, std::string_view fill,
                       Align align) {
  if (character_count(fill) != 1) {
    return make_error(Errc::invalid_argument,
                      "the fill character must be exactly one character long");
  }
  const auto size = static_cast<Int>(character_count(text));
  const Int missing = std::clamp<Int>(width - std::min(size, width), 0, kTextMaxBytes + 1);
  const auto padding = static_cast<std::size_t>(missing);
  GLM_TRY(engine.meter().text(text.size() + padding * fill.size()));
  std::size_t before = align == Align::left ? 0 : padding;
  // Python's rule for which side gets the odd one.
  if (align == Align::center) {
    before = padding / 2 + (padding & static_cast<std::size_t>(width) & 1);
  }
  std::string out;
  for (std::size_t i = 0; i < before; ++i) out += fill;
  out += text;
  for (std::size_t i = before; i < padding; ++i) out += fill;
  return Value::text(std::move(out));
}

}  // namespace glm::runner::jinja
