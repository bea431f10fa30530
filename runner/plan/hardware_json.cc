#include "runner/plan/hardware_json.h"

#include <array>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

namespace glm::runner {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<std::pair<std::string_view, MemoryKind>, 3> kKinds = {{
    {"device", MemoryKind::of_a_device},
    {"unified", MemoryKind::unified},
    {"host", MemoryKind::of_the_host},
}};

constexpr double kBytesMax = 1e18;
constexpr std::size_t kTextMax = 200;

Error wrong(const char* field, std::string_view wanted) {
  return make_error(Errc::invalid_argument, "hardware: {} wants {}", field, wanted);
}

Result<std::string> text(const Json& json, const char* field) {
  const auto found = json.find(field);
  if (found == json.end()) return std::string();
  if (!found->is_string() || found->get_ref<const std::string&>().size() > kTextMax) {
    return wrong(field, "a short text");
  }
  return found->get<std::string>();
}

Result<double> number(const Json& json, const char* field) {
  const auto found = json.find(field);
  if (found == json.end()) return 0.0;
  const double value = found->is_number() ? found->get<double>() : -1.0;
  if (!(value >= 0 && value <= kBytesMax)) return wrong(field, "a number of 0 or more");
  return value;
}

Result<std::uint64_t> bytes(const Json& json, const char* field) {
  return static_cast<std::uint64_t>(GLM_TRY(number(json, field)));
}

Status read_capability(const std::string& written, HardwareFacts& facts) {
  if (written.empty()) return Ok{};
  const char* end = written.data() + written.size();
  const auto major = std::from_chars(written.data(), end, facts.compute_major);
  if (major.ec != std::errc() || major.ptr == end || *major.ptr != '.') {
    return wrong("compute_capability", "a text such as \"9.0\"");
  }
  const auto minor = std::from_chars(major.ptr + 1, end, facts.compute_minor);
  if (minor.ec != std::errc() || minor.ptr != end) {
    return wrong("compute_capability", "a text such as \"9.0\"");
  }
  return Ok{};
}

}  // namespace

Json to_json(const HardwareFacts& hardware) {
  Json json = {{"device", hardware.device}, {"name", hardware.name}};
  for (const auto& [name, kind] : kKinds) {
    if (kind == hardware.memory) json["memory"] = name;
  }
  json["memory_total_bytes"] = hardware.memory_total_bytes;
  json["memory_free_bytes"] = hardware.memory_free_bytes;
  if (hardware.host_free_bytes > 0) json["host_free_bytes"] = hardware.host_free_bytes;
  if (hardware.bandwidth_bytes_per_s > 0) {
    json["bandwidth_bytes_per_s"] = std::llround(hardware.bandwidth_bytes_per_s);
  }
  if (hardware.compute_major > 0) {
    json["compute_capability"] =
        fmt::format("{}.{}", hardware.compute_major, hardware.compute_minor);
  }
  return json;
}

Result<HardwareFacts> hardware_from_json(const Json& json) {
  if (!json.is_object()) return make_error(Errc::invalid_argument, "hardware wants an object");
  HardwareFacts facts;
  facts.device = GLM_TRY(text(json, "device"));
  facts.name = GLM_TRY(text(json, "name"));
  if (facts.device.empty()) return wrong("device", "a text such as \"cuda:0\" or \"cpu\"");
  const std::string memory = GLM_TRY(text(json, "memory"));
  facts.memory = facts.device == "cpu" ? MemoryKind::of_the_host : MemoryKind::of_a_device;
  bool known = memory.empty();
  for (const auto& [name, kind] : kKinds) {
    if (name != memory) continue;
    facts.memory = kind;
    known = true;
  }
  if (!known) return wrong("memory", "\"device\", \"unified\" or \"host\"");
  facts.memory_total_bytes = GLM_TRY(bytes(json, "memory_total_bytes"));
  facts.memory_free_bytes = GLM_TRY(bytes(json, "memory_free_bytes"));
  facts.host_free_bytes = GLM_TRY(bytes(json, "host_free_bytes"));
  facts.bandwidth_bytes_per_s = GLM_TRY(number(json, "bandwidth_bytes_per_s"));
  GLM_TRY(read_capability(GLM_TRY(text(json, "compute_capability")), facts));
  if (!json.contains("memory_free_bytes")) facts.memory_free_bytes = facts.memory_total_bytes;
  if (!json.contains("memory_total_bytes")) facts.memory_total_bytes = facts.memory_free_bytes;
  if (facts.memory_total_bytes == 0) return wrong("memory_total_bytes", "how much memory there is");
  if (facts.memory_free_bytes > facts.memory_total_bytes) {
    return wrong("memory_free_bytes", "no more than memory_total_bytes");
  }
  return facts;
}

}  // namespace glm::runner
