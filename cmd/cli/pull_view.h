// How a download looks: redrawn lines on a terminal, occasional lines in a log.
//
// Fed with the objects of POST /api/pull: {"status"}, or {"status", "digest", "file", "total",
// "completed"} again and again for each file. The status of a file changes from "verifying …" to
// "verified …" when it is here already, or to "pulling …".
//
// Thread safety: one thread at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace glm {

// Bytes per second over the last ten seconds.
class SpeedMeter {
 public:
  void add(Clock::Steady now, std::uint64_t completed_bytes);
  double bytes_per_second() const;  // 0: too early to say

 private:
  struct Sample {
    Clock::Steady time;
    std::uint64_t completed_bytes;
  };
  std::deque<Sample> samples_;
};

class PullView {
 public:
  enum class Style { redrawn, lines };

  struct Options {
    Style style = Style::lines;
    int width = 80;  // of the terminal
  };

  PullView(Options options, const Clock& clock, std::function<void(std::string_view)> write);

  void update(const nlohmann::ordered_json& line);

  // Leaves the last state on the screen.
  void finish();

 private:
  struct File {
    std::string digest;
    std::string label;  // "pulling 4d1c3bf1b4ba"
    bool here = false;  // it needs not be fetched
    std::uint64_t total_bytes = 0;
    std::uint64_t completed_bytes = 0;
    SpeedMeter speed;
    bool settled = false;  // its last line has been written
    int tenths_said = -1;  // Style::lines: what the last line said, in steps of ten percent
    Clock::Steady said_at{};

    bool complete() const { return completed_bytes >= total_bytes; }
  };

  File& file_for(const nlohmann::ordered_json& line, const std::string& digest);
  void update_status(const std::string& status);
  void write_line(File& file);
  void redraw();
  std::size_t line_width() const;
  std::string bar_line(const File& file) const;
  std::string settled_line(const File& file) const;

  const Options options_;
  const Clock& clock_;
  const std::function<void(std::string_view)> write_;
  std::vector<File> files_;  // in the order they appeared
  std::string last_status_;
  std::size_t drawn_lines_ = 0;  // below which the cursor stands
  Clock::Steady drawn_at_{};
};

}  // namespace glm
