#include "runner/device_choice.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

#include "kernels/device_info.h"

namespace glm::runner {
namespace {

// N of "cuda:N".
std::optional<int> number_of(std::string_view wanted) {
  constexpr std::string_view kPrefix = "cuda:";
  if (!wanted.starts_with(kPrefix)) return std::nullopt;
  const std::string_view digits = wanted.substr(kPrefix.size());
  int number = -1;
  const char* const end = digits.data() + digits.size();
  const auto [stop, failure] = std::from_chars(digits.data(), end, number);
  return failure == std::errc() && stop == end && number >= 0 ? std::optional(number)
                                                              : std::nullopt;
}

}  // namespace

Result<DeviceChoice> choose_device(const std::string& wanted) {
  if (wanted == "cpu") return DeviceChoice{"cpu", ""};
  const std::optional<int> number = number_of(wanted);
  if (wanted != "auto" && wanted != "cuda" && !number) {
    return make_error(Errc::invalid_argument, "device '{}' wants auto, cpu, cuda or cuda:N",
                      wanted);
  }
  const int devices =
      GLM_TRY(kernels::count_devices().with("look for a GPU (--device cpu runs without it)"));
  const int index = number.value_or(0);
  if (devices > index) return DeviceChoice{fmt::format("cuda:{}", index), "", index};
  const bool built_in = kernels::backends() != "cpu";
  if (wanted != "auto" && !built_in) {
    return make_error(Errc::unsupported,
                      "device {}: this program was built without the CUDA backend; auto and cpu "
                      "run on the CPU",
                      wanted);
  }
  if (wanted != "auto" && devices > 0) {
    return make_error(Errc::device, "device {}: there are {} GPUs, counted from 0", wanted,
                      devices);
  }
  if (wanted != "auto") {
    return make_error(Errc::device,
                      "device {}: no NVIDIA GPU or driver was found; auto and cpu run on the CPU",
                      wanted);
  }
  // A program that has no use for a GPU owes no word about it.
  return DeviceChoice{"cpu", built_in ? "no GPU found, running on the CPU" : ""};
}

}  // namespace glm::runner
