// "did you mean …?": the nearest of the names that would have been right.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace glm {

// The number of letters to insert, drop, exchange or swap with their neighbour; upper and lower
// case count as equal. Stops counting at distance_max and returns distance_max + 1 then.
int edit_distance(std::string_view a, std::string_view b, int distance_max);

// The candidate that was probably meant: at most a third of the word mistyped, never more than
// three letters. The first of equals.
std::optional<std::string_view> nearest_name(std::string_view word,
                                             std::span<const std::string_view> candidates);

// "; did you mean 'top_p'?", or nothing when no candidate is near.
std::string did_you_mean(std::string_view word, std::span<const std::string_view> candidates);

}  // namespace glm
