#include "runner/probe.h"

#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "runner/plan/hardware_json.h"
#include "runner/plan/this_machine.h"

namespace glm::runner {

int probe_main() {
  const Result<std::vector<HardwareFacts>> found = find_hardware();
  if (!found.ok()) {
    fmt::print(stderr, "glm runner: {}\n", found.error().message);
    return 1;
  }
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const HardwareFacts& hardware : *found) list.push_back(to_json(hardware));
  fmt::print("{}\n", list.dump());
  return 0;
}

}  // namespace glm::runner
