// What `glm tokenize` and `glm detokenize` have in common: a tokenizer, and standard input to read.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "runner/text/tokenizer.h"

namespace CLI {
class App;
}

namespace glm {

struct TokenizerArgs {
  std::string model;
  std::string file;
  bool no_special = false;
  bool json = false;
};

// Declares [MODEL] and --file; the flags whose help differs are the command's own.
void add_tokenizer_options(CLI::App& command, TokenizerArgs& args);

struct TokenizerInput {
  runner::Tokenizer tokenizer;
  std::string text;  // all of standard input, UTF-8
};

// `what` is said at a terminal: "the text".
Result<TokenizerInput> read_tokenizer_input(const TokenizerArgs& args, std::string_view what);

}  // namespace glm
