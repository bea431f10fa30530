#include "runner/text/tokenizer/post_processor.h"

#include <string>

namespace glm::runner::tokenizing {
namespace {

constexpr std::size_t kAffixMaxTokens = 1024;

Status append_special(const Json& specials, const Json& piece, std::vector<std::int32_t>& ids) {
  const std::string name = GLM_TRY(text_field(piece, "id"));
  const Json& listed = member(member(specials, name.c_str()), "ids");
  if (!listed.is_array()) {
    return make_error(Errc::corrupt, "special_tokens has no ids for '{}'", name);
  }
  for (const Json& id : listed) ids.push_back(GLM_TRY(id_value(id)));
  if (ids.size() > kAffixMaxTokens) {
    return make_error(Errc::exhausted, "more than {} special tokens", kAffixMaxTokens);
  }
  return Ok{};
}

// "single" is a list of {"SpecialToken": {"id": "[gMASK]"}} with one {"Sequence": {"id": "A"}}.
Result<Affixes> parse_template(const Json& component) {
  const Json& single = member(component, "single");
  if (!single.is_array()) return make_error(Errc::corrupt, "single is not a list");
  Affixes affixes;
  bool after_text = false;
  for (const Json& piece : single) {
    if (const Json& special = member(piece, "SpecialToken"); special.is_object()) {
      GLM_TRY(append_special(member(component, "special_tokens"), special,
                             after_text ? affixes.after : affixes.before));
    } else if (const Json& text = member(piece, "Sequence"); text.is_object()) {
      if (after_text) return make_error(Errc::unsupported, "single contains the text twice");
      after_text = true;
    } else {
      return make_error(Errc::corrupt,
                        "single has a piece that is neither SpecialToken nor Sequence");
    }
  }
  if (!after_text) return make_error(Errc::unsupported, "single does not contain the text");
  return affixes;
}

Result<Affixes> parse_byte_level(const Json&) {
  return Affixes{};
}

// ["[CLS]", 101]
Result<std::int32_t> named_id(const Json& component, const char* key) {
  const Json& pair = member(component, key);
  if (!pair.is_array() || pair.size() != 2 || !pair[0].is_string()) {
    return make_error(Errc::corrupt, "{} is not [\"token\", id]", key);
  }
  return id_value(pair[1]).with(key);
}

// BERT and RoBERTa: a token on either side.
Result<Affixes> parse_pair(const Json& component) {
  Affixes affixes;
  affixes.before.push_back(GLM_TRY(named_id(component, "cls")));
  affixes.after.push_back(GLM_TRY(named_id(component, "sep")));
  return affixes;
}

struct Row {
  const char* type;
  Result<Affixes> (*parse)(const Json&);
};

constexpr Row kPostProcessors[] = {
    {"BertProcessing", &parse_pair},
    {"ByteLevel", &parse_byte_level},
    {"RobertaProcessing", &parse_pair},
    {"TemplateProcessing", &parse_template},
};

Result<Affixes> parse_one(const Json& component) {
  const std::string type = type_of(component);
  for (const Row& row : kPostProcessors) {
    if (type == row.type) return row.parse(component).with(type);
  }
  return make_error(Errc::unsupported, "type '{}' is not supported", type);
}

Result<Affixes> parse(const Json& component) {
  if (component.is_null()) return Affixes{};
  if (type_of(component) != "Sequence") return parse_one(component);
  const Json& processors = member(component, "processors");
  if (!processors.is_array()) return make_error(Errc::corrupt, "processors is not a list");
  Affixes all;
  for (const Json& processor : processors) {  // each wraps what the ones before it made
    Affixes outer = GLM_TRY(parse_one(processor));
    all.before.insert(all.before.begin(), outer.before.begin(), outer.before.end());
    all.after.insert(all.after.end(), outer.after.begin(), outer.after.end());
    if (all.before.size() + all.after.size() > kAffixMaxTokens) {
      return make_error(Errc::exhausted, "more than {} special tokens", kAffixMaxTokens);
    }
  }
  return all;
}

}  // namespace

Result<Affixes> parse_post_processor(const Json& component) {
  return parse(component).with("post_processor");
}

}  // namespace glm::runner::tokenizing
