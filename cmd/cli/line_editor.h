// Reads lines at a terminal, with editing and a history that lasts (libedit).
//
// Thread safety: one thread at a time; one editor per program.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace glm {

class LineEditor {
 public:
  // The history is kept in that file, readable by its owner only; a file that cannot be read or
  // written is done without.
  explicit LineEditor(std::filesystem::path history_file);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  enum class Kind {
    line,
    interrupted,  // Ctrl-C: what was typed is thrown away
    end,          // Ctrl-D on an empty line, or no terminal any more
  };
  struct Input {
    Kind kind;
    std::string text;  // of a line, without its newline
  };

  // The prompt and what is typed go to standard error: standard output is for answers.
  Input read(std::string_view prompt);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace glm
