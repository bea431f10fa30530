#include "cmd/cli/pull_view.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace glm {
namespace {

using Json = nlohmann::ordered_json;
using std::chrono::milliseconds;

class HandClock final : public Clock {
 public:
  Steady now() const override { return now_; }
  Wall wall() const override { return {}; }
  void sleep(milliseconds duration) override { now_ += duration; }

 private:
  Steady now_{std::chrono::hours(1)};
};

Json file_line(std::uint64_t completed, std::uint64_t total,
               const std::string& id = "4d1c3bf1b4ba") {
  return {{"status", "pulling " + id},
          {"digest", "sha256:" + id},
          {"total", total},
          {"completed", completed}};
}

struct Screen {
  HandClock clock;
  std::string text;
  PullView view;

  explicit Screen(PullView::Style style, int width = 80)
      : view({.style = style, .width = width}, clock,
             [this](std::string_view bytes) { text += bytes; }) {}

  // What a terminal shows after the escapes that we use.
  std::vector<std::string> shown() const {
    std::vector<std::string> lines(1);
    std::size_t row = 0, column = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '\x1b') {
        const std::size_t end = text.find_first_of("AKJ", i);
        const std::string count = text.substr(i + 2, end - i - 2);
        if (text[end] == 'A') row -= std::stoul(count);
        if (text[end] == 'K') lines[row].resize(column);
        if (text[end] == 'J') {
          lines.resize(row + 1);
          lines[row].resize(column);
        }
        i = end;
      } else if (text[i] == '\n') {
        if (++row == lines.size()) lines.emplace_back();
        column = 0;
      } else if (text[i] == '\r') {
        column = 0;
      } else {
        if (column == lines[row].size()) lines[row] += ' ';
        lines[row][column++] = text[i];
      }
    }
    return lines;
  }
};

TEST(PullViewLines, SaysEachStatusOnceAndEachFileNowAndThen) {
  Screen screen(PullView::Style::lines);
  screen.view.update({{"status", "pulling manifest"}});
  screen.view.update({{"status", "pulling manifest"}});
  for (int i = 0; i <= 100; ++i) {
    screen.view.update(file_line(static_cast<std::uint64_t>(i) * 10'000'000, 1'000'000'000));
    screen.clock.sleep(milliseconds(250));
  }
  screen.view.update({{"status", "verifying sha256 digest"}});
  screen.view.update({{"status", "success"}});
  screen.view.finish();
  EXPECT_EQ(screen.text,
            "pulling manifest\n"
            "pulling 4d1c3bf1b4ba: 4% of 1.0 GB, 40.0 MB/s, 25 s left\n"
            "pulling 4d1c3bf1b4ba: 10% of 1.0 GB, 40.0 MB/s, 23 s left\n"
            "pulling 4d1c3bf1b4ba: 20% of 1.0 GB, 40.0 MB/s, 21 s left\n"
            "pulling 4d1c3bf1b4ba: 30% of 1.0 GB, 40.0 MB/s, 18 s left\n"
            "pulling 4d1c3bf1b4ba: 40% of 1.0 GB, 40.0 MB/s, 16 s left\n"
            "pulling 4d1c3bf1b4ba: 50% of 1.0 GB, 40.0 MB/s, 13 s left\n"
            "pulling 4d1c3bf1b4ba: 60% of 1.0 GB, 40.0 MB/s, 11 s left\n"
            "pulling 4d1c3bf1b4ba: 70% of 1.0 GB, 40.0 MB/s, 8 s left\n"
            "pulling 4d1c3bf1b4ba: 80% of 1.0 GB, 40.0 MB/s, 6 s left\n"
            "pulling 4d1c3bf1b4ba: 90% of 1.0 GB, 40.0 MB/s, 3 s left\n"
            "pulling 4d1c3bf1b4ba: 100% of 1.0 GB\n"
            "verifying sha256 digest\n"
            "success\n");
}

TEST(PullViewLines, WritesAtMostOneLineASecondForAFile) {
  Screen screen(PullView::Style::lines);
  for (int i = 0; i < 100; ++i) {
    screen.view.update(file_line(static_cast<std::uint64_t>(i), 100));
    screen.clock.sleep(milliseconds(5));
  }
  EXPECT_EQ(screen.text, "");
  screen.view.update(file_line(100, 100));
  screen.view.update(file_line(100, 100));
  EXPECT_EQ(screen.text, "pulling 4d1c3bf1b4ba: 100% of 100 B\n");
}

Json verify_line(const char* what, std::uint64_t completed) {
  return {{"status", std::string(what) + " 4d1c3bf1b4ba"},
          {"digest", "sha256:4d1c3bf1b4ba"},
          {"file", "model.safetensors"},
          {"total", 1'000'000'000},
          {"completed", completed}};
}

TEST(PullViewLines, SaysWhatIsHereAlready) {
  Screen screen(PullView::Style::lines);
  screen.view.update({{"status", "pulling manifest"}});
  screen.view.update(verify_line("verifying", 1));
  screen.clock.sleep(milliseconds(1500));
  screen.view.update(verify_line("verifying", 600'000'000));
  screen.view.update(verify_line("verified", 1'000'000'000));
  screen.view.update({{"status", "success"}});
  EXPECT_EQ(screen.text,
            "pulling manifest\n"
            "verifying 4d1c3bf1b4ba model.safetensors: 60% of 1.0 GB, 400.0 MB/s, 2 s left\n"
            "verified 4d1c3bf1b4ba model.safetensors: here already, 1.0 GB\n"
            "success\n");
}

TEST(PullViewLines, CountsAnewWhatIsFetchedAgain) {
  Screen screen(PullView::Style::lines);
  screen.view.update(verify_line("verifying", 1));
  screen.clock.sleep(milliseconds(1500));
  screen.view.update(verify_line("verifying", 900'000'000));
  screen.view.update({{"status", "model.safetensors is damaged here"}});
  screen.view.update(verify_line("pulling", 1));
  screen.clock.sleep(milliseconds(1000));
  screen.view.update(verify_line("pulling", 100'000'000));
  screen.view.update(verify_line("pulling", 1'000'000'000));
  EXPECT_EQ(screen.text,
            "verifying 4d1c3bf1b4ba model.safetensors: 90% of 1.0 GB, 600.0 MB/s, 1 s left\n"
            "model.safetensors is damaged here\n"
            "pulling 4d1c3bf1b4ba model.safetensors: 10% of 1.0 GB, 100.0 MB/s, 10 s left\n"
            "pulling 4d1c3bf1b4ba model.safetensors: 100% of 1.0 GB\n");
}

TEST(PullViewRedrawn, LeavesNoBarOfWhatIsHereAlready) {
  Screen screen(PullView::Style::redrawn, 120);
  screen.view.update(verify_line("verifying", 500'000'000));
  EXPECT_TRUE(screen.shown()[0].starts_with("verifying 4d1c3bf1b4ba model.safetensors  50% [==="))
      << screen.shown()[0];
  screen.view.update(verify_line("verified", 1'000'000'000));
  screen.view.update({{"status", "success"}});
  const std::vector<std::string> lines = screen.shown();
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0], "verified 4d1c3bf1b4ba model.safetensors: here already, 1.0 GB");
  EXPECT_EQ(lines[1], "success");
}

TEST(PullViewLines, HasNoControlCharacters) {
  Screen screen(PullView::Style::lines);
  screen.view.update({{"status", "evil\x1b[2J\rstatus"}});
  Json line = file_line(1, 2);
  line["file"] = "a\x1b]0;b";
  screen.view.update(line);
  EXPECT_EQ(screen.text.find('\x1b'), std::string::npos);
  EXPECT_EQ(screen.text.find('\r'), std::string::npos);
}

TEST(PullViewRedrawn, KeepsFinishedFilesAboveThoseUnderWay) {
  Screen screen(PullView::Style::redrawn);
  screen.view.update({{"status", "pulling manifest"}});
  screen.view.update(file_line(0, 1000, "aaaaaaaaaaaa"));
  screen.clock.sleep(milliseconds(100));
  screen.view.update(file_line(0, 1000, "bbbbbbbbbbbb"));
  screen.clock.sleep(milliseconds(500));
  screen.view.update(file_line(500, 1000, "aaaaaaaaaaaa"));
  screen.clock.sleep(milliseconds(100));
  screen.view.update(file_line(1000, 1000, "bbbbbbbbbbbb"));
  const std::vector<std::string> lines = screen.shown();
  ASSERT_EQ(lines.size(), 4u) << screen.text;
  EXPECT_EQ(lines[0], "pulling manifest");
  EXPECT_EQ(lines[1],
            "pulling bbbbbbbbbbbb 100% [========================================]  1.0 kB");
  EXPECT_TRUE(lines[2].starts_with("pulling aaaaaaaaaaaa  50% [=====")) << lines[2];
  EXPECT_NE(lines[2].find("500 B/1.0 kB"), std::string::npos) << lines[2];
  EXPECT_NE(lines[2].find("833 B/s"), std::string::npos) << lines[2];
  EXPECT_EQ(lines[3], "");

  screen.view.update(file_line(1000, 1000, "aaaaaaaaaaaa"));
  screen.view.update({{"status", "success"}});
  screen.view.finish();
  const std::vector<std::string> last = screen.shown();
  ASSERT_EQ(last.size(), 5u);
  EXPECT_TRUE(last[2].starts_with("pulling aaaaaaaaaaaa 100%"));
  EXPECT_EQ(last[3], "success");
}

TEST(PullViewRedrawn, ShowsAStatusAboveFilesThatAreUnderWay) {
  Screen screen(PullView::Style::redrawn);
  screen.view.update(file_line(500, 1000));
  screen.view.update({{"status", "a word in between"}});
  const std::vector<std::string> lines = screen.shown();
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0], "a word in between");
  EXPECT_TRUE(lines[1].starts_with("pulling 4d1c3bf1b4ba  50%"));
}

TEST(PullViewRedrawn, NeverWritesLinesThatWouldWrap) {
  for (const int width : {10, 20, 40, 60, 80, 200}) {
    Screen screen(PullView::Style::redrawn, width);
    Json line = file_line(123'456'789, 9'300'000'000);
    line["file"] = "a-very-long-file-name-of-a-checkpoint-model-00001-of-00092.safetensors";
    screen.view.update(line);
    for (const std::string& shown : screen.shown()) {
      EXPECT_LE(shown.size(), static_cast<std::size_t>(std::max(width, 21) - 1)) << shown;
    }
  }
}

TEST(PullViewRedrawn, CountsWhatDoesNotFitTheScreen) {
  Screen screen(PullView::Style::redrawn);
  for (int i = 0; i < 20; ++i) {
    screen.clock.sleep(milliseconds(100));
    screen.view.update(file_line(1, 2, "digest" + std::to_string(100000 + i)));
  }
  const std::vector<std::string> lines = screen.shown();
  ASSERT_EQ(lines.size(), 10u);
  EXPECT_EQ(lines[8], "and 12 more");
}

TEST(PullView, SurvivesAnyNumbers) {
  for (const auto style : {PullView::Style::lines, PullView::Style::redrawn}) {
    Screen screen(style);
    screen.view.update(Json::object());
    screen.view.update({{"status", 1}, {"digest", 2}});
    screen.view.update({{"digest", "x"}});
    screen.view.update({{"digest", "y"}, {"total", -5}, {"completed", 7}});
    screen.view.update({{"digest", "y"}, {"total", 5}, {"completed", 700}});
    screen.view.update({{"digest", "z"}, {"total", UINT64_MAX}, {"completed", 1}});
    screen.view.finish();
  }
}

TEST(SpeedMeter, ForgetsWhatIsLongAgo) {
  SpeedMeter meter;
  Clock::Steady now{};
  std::uint64_t bytes = 0;
  for (int i = 0; i < 100; ++i) meter.add(now += milliseconds(100), bytes += 100);
  EXPECT_NEAR(meter.bytes_per_second(), 1000, 50);
  for (int i = 0; i < 150; ++i) meter.add(now += milliseconds(100), bytes += 500);
  EXPECT_NEAR(meter.bytes_per_second(), 5000, 250);
  // After a stall it is the speed of what has come since, over as long as anything is counted.
  meter.add(now += std::chrono::minutes(2), bytes += 100);
  for (int i = 0; i < 50; ++i) meter.add(now += milliseconds(100), bytes += 100);
  EXPECT_NEAR(meter.bytes_per_second(), 510, 30);
  SpeedMeter fresh;
  EXPECT_EQ(fresh.bytes_per_second(), 0);
  fresh.add(now, 5);
  EXPECT_EQ(fresh.bytes_per_second(), 0);
  fresh.add(now, 50);
  EXPECT_EQ(fresh.bytes_per_second(), 0);
}

}  // namespace
}  // namespace glm
