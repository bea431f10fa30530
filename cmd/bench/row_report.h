// A measured row, for people and for programs: the columns and the field names of llama.cpp's
// llama-batched-bench, and behind them what a step reads and how near that is to what the device
// can read.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "cmd/bench/generation.h"
#include "cmd/bench/step_bytes.h"

namespace glm::bench {

struct MeasuredRow {
  RowShape shape;
  RowTimes times;
  StepBytes step;
  double read_bytes_per_s = 0;  // of the device, at best

  double prompt_per_s() const;    // tokens
  double generate_per_s() const;  // tokens
  double step_s() const { return times.generate_s / static_cast<double>(shape.generate); }
  // Of what a step would be if it only read, and that at best.
  double part_of_roofline() const { return step.all() / read_bytes_per_s / step_s(); }
};

std::string row_heading();  // two lines
std::string row_line(const MeasuredRow& row);
nlohmann::ordered_json row_json(const MeasuredRow& row);

}  // namespace glm::bench
