// What one step of decoding has to read at least: the weights that its tokens multiply with, and
// what the cache has of the tokens before them. Over a device's read ceiling it is the shortest
// time such a step can take.
//
// Which experts are chosen is not looked up: counted is how many different ones are to be expected
// where every token chooses evenly and by itself, E * (1 - (1 - k / E)^tokens) of E. Random tokens
// and random weights choose so; text chooses fewer.
#pragma once

#include <cstdint>

#include "runner/checkpoint/model_facts.h"

namespace glm::bench {

struct StepBytes {
  double weights = 0;  // of experts only those that are to be expected
  double cache = 0;
  double experts = 0;  // different ones in a layer

  double all() const { return weights + cache; }
};

struct StepShape {
  std::int64_t sequences = 1;     // one token each
  double context = 0;             // tokens of each in the cache, on average
  std::uint64_t token_bytes = 0;  // of a token in the cache, all layers
};

StepBytes bytes_of_step(const runner::ModelFacts& facts, const StepShape& shape);

}  // namespace glm::bench
