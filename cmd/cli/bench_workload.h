// What is asked: random prompts of a given length, every one of its own, the same ones for the same
// seed on every machine.
//
// Thread safety: one thread at a time.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace glm::bench {

struct Workload {
  enum class Prompts {
    ids,    // token ids, drawn evenly from the vocabulary
    words,  // English words, for servers that take text only
  };

  std::string model;
  Prompts prompts = Prompts::ids;
  std::int64_t input_len = 512;   // ids, or words
  std::int64_t output_len = 256;  // tokens, whatever the model says of an end
  std::int64_t vocab_size = 0;    // for ids
  double temperature = 0;
};

class RequestSource {
 public:
  RequestSource(Workload workload, std::uint64_t seed)
      : workload_(std::move(workload)), random_(seed) {}

  // Bodies of POST /v1/completions, none like any before.
  std::vector<std::string> next(std::size_t count);

  // For servers whose tokens are not the words.
  void set_input_len(std::int64_t input_len) { workload_.input_len = input_len; }

 private:
  std::string next_body();

  Workload workload_;
  std::mt19937_64 random_;  // the standard says what it gives; of distributions it does not
};

}  // namespace glm::bench
