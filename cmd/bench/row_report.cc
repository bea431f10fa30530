#include "cmd/bench/row_report.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace glm::bench {
namespace {

double per_second(std::int64_t tokens, double seconds) {
  return seconds > 0 ? static_cast<double>(tokens) / seconds : 0;
}

}  // namespace

double MeasuredRow::prompt_per_s() const {
  return per_second(shape.sequences * shape.prompt, times.prompt_s);
}
double MeasuredRow::generate_per_s() const {
  return per_second(shape.sequences * shape.generate, times.generate_s);
}

std::string row_heading() {
  return fmt::format(
      "|{:>6} |{:>6} |{:>4} |{:>7} |{:>9} |{:>9} |{:>9} |{:>9} |{:>9} |{:>9} |{:>8} |{:>9} |\n"
      "|{:->6}-|{:->6}-|{:->4}-|{:->7}-|{:->9}-|{:->9}-|{:->9}-|{:->9}-|{:->9}-|{:->9}-|{:->8}-|"
      "{:->9}-|\n",
      "PP", "TG", "B", "N_KV", "T_PP s", "S_PP t/s", "T_TG s", "S_TG t/s", "T s", "S t/s",
      "GB/step", "% of read", "", "", "", "", "", "", "", "", "", "", "", "");
}

std::string row_line(const MeasuredRow& row) {
  const double all_s = row.times.prompt_s + row.times.generate_s;
  return fmt::format(
      "|{:>6} |{:>6} |{:>4} |{:>7} |{:>9.3f} |{:>9.2f} |{:>9.3f} |{:>9.2f} |{:>9.3f} |{:>9.2f} "
      "|{:>8.3f} |{:>9.1f} |\n",
      row.shape.prompt, row.shape.generate, row.shape.sequences, row.shape.tokens(),
      row.times.prompt_s, row.prompt_per_s(), row.times.generate_s, row.generate_per_s(), all_s,
      per_second(row.shape.sequences * (row.shape.prompt + row.shape.generate), all_s),
      row.step.all() * 1e-9, 100 * row.part_of_roofline());
}

nlohmann::ordered_json row_json(const MeasuredRow& row) {
  const double all_s = row.times.prompt_s + row.times.generate_s;
  return {
      {"pp", row.shape.prompt},
      {"tg", row.shape.generate},
      {"pl", row.shape.sequences},
      {"ctx", row.shape.context},
      {"n_kv", row.shape.tokens()},
      {"t_pp", row.times.prompt_s},
      {"speed_pp", row.prompt_per_s()},
      {"t_tg", row.times.generate_s},
      {"speed_tg", row.generate_per_s()},
      {"t", all_s},
      {"speed", per_second(row.shape.sequences * (row.shape.prompt + row.shape.generate), all_s)},
      {"step_weight_bytes", row.step.weights},
      {"step_cache_bytes", row.step.cache},
      {"experts_expected", row.step.experts},
      {"read_bytes_per_s", row.read_bytes_per_s},
      {"part_of_roofline", row.part_of_roofline()}};
}

}  // namespace glm::bench
