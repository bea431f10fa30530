#include "modelfiles/parameters.h"

#include <nlohmann/json.hpp>
#include <utility>
#include <variant>

#include "base/check.h"

namespace glm::modelfiles {
namespace {

constexpr double kTokensMax = 2147483647;
constexpr double kContextMax = 16777216;

// Which member a row fills; kMembers below has one of these for every row.
using Member =
    std::variant<std::optional<double> RunOptions::*, std::optional<std::int64_t> RunOptions::*,
                 std::vector<std::string> RunOptions::*, std::string RunOptions::*>;

constexpr OptionRow kRows[] = {
    {.name = "temperature",
     .type = OptionType::number,
     .min = 0,
     .max = 2,
     .help = "how much chance there is in the choice of a token; 0: always the likeliest"},
    {.name = "top_k",
     .type = OptionType::integer,
     .min = -1,
     .max = kTokensMax,
     .help = "choose among the k likeliest tokens only; 0 or -1: among all"},
    {.name = "top_p",
     .type = OptionType::number,
     .min = 0,
     .max = 1,
     .help = "choose among the likeliest tokens that have this probability together"},
    {.name = "min_p",
     .type = OptionType::number,
     .min = 0,
     .max = 1,
     .help = "leave out tokens less likely than this times the likeliest"},
    {.name = "repeat_penalty",
     .type = OptionType::number,
     .min = 0.01,
     .max = 10,
     .help = "makes tokens that were there already less likely; 1: off"},
    {.name = "repeat_last_n",
     .type = OptionType::integer,
     .min = -1,
     .max = kContextMax,
     .help = "how far the penalties look back, in tokens; -1: the whole context, 0: off"},
    {.name = "presence_penalty",
     .type = OptionType::number,
     .min = -2,
     .max = 2,
     .help = "taken off the score of every token that was there already"},
    {.name = "frequency_penalty",
     .type = OptionType::number,
     .min = -2,
     .max = 2,
     .help = "taken off a token's score once for each time it was there"},
    {.name = "seed",
     .type = OptionType::integer,
     .help = "the same seed gives the same answer; -1: a new one every time"},
    {.name = "num_predict",
     .type = OptionType::integer,
     .min = -2,
     .max = kTokensMax,
     .help =
         "the most tokens of an answer, 0 counts as 1; -1: until the model stops, -2: until the "
         "context is full"},
    {.name = "num_ctx",
     .type = OptionType::integer,
     .min = 0,
     .max = kContextMax,
     .help = "the context, in tokens; 0: as much as fits"},
    {.name = "stop",
     .type = OptionType::texts,
     .help = "the answer ends before this text; may be given several times"},
    {.name = "device",
     .env = "GLM_DEVICE",
     .type = OptionType::text,
     .fallback = "auto",
     .choices = "auto|cpu|cuda",
     .help = "where the model runs"},
    {.name = "kv_cache_type",
     .env = "GLM_KV_CACHE_TYPE",
     .type = OptionType::text,
     .fallback = "bf16",
     .choices = "bf16|fp8",
     .help = "how the context is kept in memory; fp8 holds 1.75 times as much, for models with "
             "latent attention"},
};

const std::pair<std::string_view, Member> kMembers[] = {
    {"temperature", &RunOptions::temperature},
    {"top_k", &RunOptions::top_k},
    {"top_p", &RunOptions::top_p},
    {"min_p", &RunOptions::min_p},
    {"repeat_penalty", &RunOptions::repeat_penalty},
    {"repeat_last_n", &RunOptions::repeat_last_n},
    {"presence_penalty", &RunOptions::presence_penalty},
    {"frequency_penalty", &RunOptions::frequency_penalty},
    {"seed", &RunOptions::seed},
    {"num_predict", &RunOptions::num_predict},
    {"num_ctx", &RunOptions::num_ctx},
    {"stop", &RunOptions::stop},
    {"device", &RunOptions::device},
    {"kv_cache_type", &RunOptions::kv_cache_type},
};
static_assert(std::size(kRows) == std::size(kMembers));

std::string shortened(const nlohmann::json& json) {
  std::string text = json.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

}  // namespace

const OptionTable& parameter_table() {
  static const OptionTable table(kRows);
  return table;
}

std::optional<OptionValue> option_value(const nlohmann::json& json) {
  using Kind = nlohmann::json::value_t;
  switch (json.type()) {
    case Kind::boolean:
      return json.get<bool>();
    case Kind::string:
      return json.get<std::string>();
    case Kind::number_float:
      return json.get<double>();
    case Kind::number_integer:
      return json.get<std::int64_t>();
    case Kind::number_unsigned:
      if (json.get<std::uint64_t>() > INT64_MAX) return json.get<double>();
      return json.get<std::int64_t>();
    case Kind::array: {
      std::vector<std::string> texts;
      for (const auto& item : json) {
        if (!item.is_string()) return std::nullopt;
        texts.push_back(item.get<std::string>());
      }
      return texts;
    }
    default:
      return std::nullopt;
  }
}

Status apply(const Modelfile& modelfile, OptionSet& options) {
  for (const Parameter& parameter : modelfile.parameters) {
    GLM_TRY(options.set_text(parameter.name, parameter.value, OptionOrigin::modelfile));
  }
  return Ok{};
}

Result<std::vector<std::string>> apply_request(const nlohmann::json& options, OptionSet& set) {
  std::vector<std::string> unknown;
  if (options.is_null()) return unknown;
  if (!options.is_object()) {
    return make_error(Errc::invalid_argument, "options wants an object, got {}",
                      shortened(options));
  }
  for (const auto& [key, json] : options.items()) {
    if (json.is_null()) continue;
    const OptionRow* row = parameter_table().find(key);
    if (row == nullptr) {
      unknown.push_back(key);
      continue;
    }
    std::optional<OptionValue> value = option_value(json);
    if (!value) {
      return make_error(Errc::invalid_argument, "options: {} cannot be {}", key, shortened(json));
    }
    GLM_TRY(set.set(key, std::move(*value), OptionOrigin::request, "options"));
  }
  return unknown;
}

RunOptions run_options(const OptionSet& options) {
  struct Fill {
    const OptionSet& from;
    std::string_view name;
    RunOptions& to;
    void operator()(std::optional<double> RunOptions::*m) const { to.*m = from.number(name); }
    void operator()(std::optional<std::int64_t> RunOptions::*m) const {
      to.*m = from.integer(name);
    }
    void operator()(std::vector<std::string> RunOptions::*m) const { to.*m = from.texts(name); }
    void operator()(std::string RunOptions::*m) const {
      to.*m = from.text(name).value_or(std::string());
    }
  };
  RunOptions result;
  for (const auto& [name, member] : kMembers) std::visit(Fill{options, name, result}, member);
  return result;
}

}  // namespace glm::modelfiles
