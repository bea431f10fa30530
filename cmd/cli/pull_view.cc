#include "cmd/cli/pull_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/units.h"
#include "cmd/cli/cli.h"
#include "cmd/cli/terminal.h"

namespace glm {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kSpeedWindow{10};
constexpr milliseconds kRedrawInterval{60};
constexpr seconds kLineInterval{1};
constexpr std::size_t kActiveLinesMax = 8;
constexpr std::string_view kClearToLineEnd = "\x1b[K";
constexpr std::string_view kClearBelow = "\x1b[J";

std::uint64_t bytes_field(const Json& line, std::string_view field) {
  const std::int64_t value = integer_field(line, field);
  return value > 0 ? static_cast<std::uint64_t>(value) : 0;
}

int percent(std::uint64_t completed, std::uint64_t total) {
  if (total == 0 || completed >= total) return 100;
  return static_cast<int>(static_cast<double>(completed) / static_cast<double>(total) * 100);
}

// "11.0 MB/s", "4m28s"; empty while unknown.
struct Pace {
  std::string speed, left;
};

Pace pace(const SpeedMeter& meter, std::uint64_t missing_bytes) {
  const double speed = meter.bytes_per_second();
  if (speed < 1) return {};
  const double left = std::min(static_cast<double>(missing_bytes) / speed, 359'999.0);
  return {.speed = format_bytes(static_cast<std::uint64_t>(speed)) + "/s",
          .left = format_duration(seconds(static_cast<std::int64_t>(left) + 1))};
}

std::string fitted(std::string text, std::size_t width) {
  while (text_width(text) > width) text.pop_back();
  return text;
}

}  // namespace

void SpeedMeter::add(Clock::Steady now, std::uint64_t completed_bytes) {
  samples_.push_back({now, completed_bytes});
  while (samples_.size() > 2 && now - samples_[1].time >= kSpeedWindow) samples_.pop_front();
  // Many updates a second say no more than a few.
  if (samples_.size() > 2 &&
      samples_.back().time - samples_[samples_.size() - 3].time < milliseconds(100)) {
    samples_.erase(samples_.end() - 2);
  }
}

double SpeedMeter::bytes_per_second() const {
  if (samples_.size() < 2) return 0;
  const Sample &first = samples_.front(), &last = samples_.back();
  // Nothing came between the first sample and the next: it is as good as one at the window's begin.
  const Clock::Steady begin = std::max(first.time, last.time - kSpeedWindow);
  const std::chrono::duration<double> time = last.time - begin;
  if (time < milliseconds(200) || last.completed_bytes <= first.completed_bytes) return 0;
  return static_cast<double>(last.completed_bytes - first.completed_bytes) / time.count();
}

PullView::PullView(Options options, const Clock& clock, std::function<void(std::string_view)> write)
    : options_(options), clock_(clock), write_(std::move(write)) {}

PullView::File& PullView::file_for(const Json& line, const std::string& digest) {
  File file;
  file.digest = digest;
  file.label = for_terminal(text_field(line, "status"));
  file.here = file.label.starts_with("verified ");
  const std::string name = for_terminal(text_field(line, "file"));
  if (!name.empty()) file.label += " " + name;
  const auto known = std::find_if(files_.begin(), files_.end(),
                                  [&](const File& one) { return one.digest == digest; });
  if (known == files_.end()) {
    files_.push_back(std::move(file));
    return files_.back();
  }
  // Bytes that come are counted anew after those that were read here.
  if (known->label != file.label && !known->settled) *known = std::move(file);
  return *known;
}

void PullView::update(const Json& line) {
  const std::string digest = text_field(line, "digest");
  if (digest.empty()) return update_status(for_terminal(text_field(line, "status")));
  const std::size_t known = files_.size();
  File& file = file_for(line, digest);
  const bool is_new = files_.size() > known;
  file.total_bytes = bytes_field(line, "total");
  file.completed_bytes = std::min(bytes_field(line, "completed"), file.total_bytes);
  file.speed.add(clock_.now(), file.completed_bytes);
  if (options_.style == Style::lines) return write_line(file);
  if (is_new || file.complete() || clock_.now() - drawn_at_ >= kRedrawInterval) redraw();
}

void PullView::update_status(const std::string& status) {
  if (status.empty() || status == last_status_) return;
  last_status_ = status;
  if (options_.style == Style::redrawn) redraw();  // settles what is complete
  if (drawn_lines_ > 0) {
    write_(fmt::format("\x1b[{}A\r{}{}\n", drawn_lines_, kClearBelow, status));
    drawn_lines_ = 0;
    return redraw();
  }
  write_(status + "\n");
}

void PullView::write_line(File& file) {
  if (file.settled) return;
  const auto now = clock_.now();
  const int done = percent(file.completed_bytes, file.total_bytes);
  file.settled = file.complete();
  if (!file.settled) {
    if (file.said_at == Clock::Steady{}) file.said_at = now;  // small files get one line, not two
    if (done / 10 <= file.tenths_said || now - file.said_at < kLineInterval) return;
  }
  file.tenths_said = done / 10;
  file.said_at = now;
  if (file.settled && file.here) return write_(settled_line(file) + "\n");
  std::string text = fmt::format("{}: {}% of {}", file.label, done, format_bytes(file.total_bytes));
  const Pace current = pace(file.speed, file.total_bytes - file.completed_bytes);
  if (!file.settled && !current.speed.empty()) {
    text += fmt::format(", {}, {} left", current.speed, current.left);
  }
  write_(text + "\n");
}

std::size_t PullView::line_width() const {
  return static_cast<std::size_t>(std::max(options_.width - 1, 20));
}

// "pulling 4d1c3bf1b4ba   67% [=====>   ]  6.2 GB/9.3 GB  11.0 MB/s  4m28s"
std::string PullView::bar_line(const File& file) const {
  const std::size_t width = line_width();
  const int done = percent(file.completed_bytes, file.total_bytes);
  const Pace current = pace(file.speed, file.total_bytes - file.completed_bytes);
  const std::string right =
      file.complete() ? fmt::format("  {}", format_bytes(file.total_bytes))
                      : fmt::format("  {}/{}  {:>10}  {:>6}", format_bytes(file.completed_bytes),
                                    format_bytes(file.total_bytes), current.speed, current.left);
  const std::string number = fmt::format(" {:3}% ", done);
  const std::size_t fixed = number.size() + text_width(right);
  std::string label = fitted(file.label, std::max<std::size_t>(20, width / 2));
  if (text_width(label) + fixed + 8 > width) return fitted(label + number + right, width);
  const std::size_t cells = std::min<std::size_t>(width - text_width(label) - fixed - 2, 40);
  const std::size_t full = cells * static_cast<std::size_t>(done) / 100;
  std::string bar(full, '=');
  if (full < cells) bar += '>';
  bar.resize(cells, ' ');
  return label + number + "[" + bar + "]" + right;
}

// Of a file that is here already no bar is left behind: nothing was fetched.
std::string PullView::settled_line(const File& file) const {
  if (!file.here) return bar_line(file);
  return fmt::format("{}: here already, {}", file.label, format_bytes(file.total_bytes));
}

void PullView::redraw() {
  std::string text;
  if (drawn_lines_ > 0) text += fmt::format("\x1b[{}A\r", drawn_lines_);
  for (File& file : files_) {
    if (file.settled || !file.complete()) continue;
    file.settled = true;
    text += fmt::format("{}{}\n", fitted(settled_line(file), line_width()), kClearToLineEnd);
  }
  std::size_t active = 0;
  drawn_lines_ = 0;
  for (const File& file : files_) {
    if (file.settled) continue;
    if (++active > kActiveLinesMax) continue;
    text += fmt::format("{}{}\n", bar_line(file), kClearToLineEnd);
    ++drawn_lines_;
  }
  if (active > kActiveLinesMax) {
    text += fmt::format("and {} more{}\n", active - kActiveLinesMax, kClearToLineEnd);
    ++drawn_lines_;
  }
  drawn_at_ = clock_.now();
  if (!text.empty()) write_(text + std::string(kClearBelow));
}

void PullView::finish() {
  if (options_.style == Style::redrawn) redraw();
}

}  // namespace glm
