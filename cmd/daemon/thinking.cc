#include "cmd/daemon/thinking.h"

#include <nlohmann/json.hpp>

namespace glm::daemon {
namespace {

constexpr const char* kSwitch = "enable_thinking";
constexpr const char* kLevel = "reasoning_effort";
constexpr const char* kOtherSwitch = "thinking";  // also the name of a message's field

void add(nlohmann::ordered_json& variables, const char* name, nlohmann::ordered_json value) {
  if (!variables.contains(name)) variables[name] = std::move(value);
}

}  // namespace

bool can_think(const runner::ChatTemplate& chat_template) {
  return chat_template.mentions(kSwitch) || chat_template.mentions(kLevel) ||
         chat_template.mentions(kOtherSwitch);
}

void add_thinking(const runner::ChatTemplate& chat_template, const Thinking& thinking,
                  nlohmann::ordered_json& variables) {
  const bool has_switch = chat_template.mentions(kSwitch);
  const bool has_level = chat_template.mentions(kLevel);
  if (has_switch && thinking.on) add(variables, kSwitch, *thinking.on);
  if (has_level && !thinking.level.empty()) add(variables, kLevel, thinking.level);
  if (has_switch || !thinking.on) return;
  if (!has_level) {
    if (chat_template.mentions(kOtherSwitch)) add(variables, kOtherSwitch, *thinking.on);
  } else if (!*thinking.on) {
    add(variables, kLevel, "low");  // it cannot be turned off
  }
}

}  // namespace glm::daemon
