// Drops the characters of a passage that do not please, and notices when those of the start go.
#pragma once

#include "runner/text/tokenizer/normalizer.h"
#include "runner/text/utf8.h"

namespace glm::runner::tokenizing {

template <typename Keep>
void keep_characters(Passage& passage, Keep keep) {
  std::string kept;
  kept.reserve(passage.text.size());
  for (std::size_t at = 0; at < passage.text.size();) {
    const Utf8Step step = utf8_character(passage.text, at);
    if (keep(step.code_point)) {
      kept.append(passage.text, at, step.length_bytes);
    } else if (kept.size() < passage.start_bytes) {
      passage.start_bytes -= step.length_bytes;
    }
    at += step.length_bytes;
  }
  passage.text = std::move(kept);
}

}  // namespace glm::runner::tokenizing
