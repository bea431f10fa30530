#include "cmd/cli/table.h"

#include <algorithm>
#include <cstddef>

#include "cmd/cli/terminal.h"

namespace glm {

std::string table(const std::vector<std::vector<std::string>>& rows) {
  constexpr std::size_t kGap = 4;
  std::vector<std::vector<std::string>> cells = rows;
  std::vector<std::size_t> widths;
  for (auto& row : cells) {
    for (std::size_t column = 0; column < row.size(); ++column) {
      std::string& cell = row[column];
      cell = for_terminal(cell);
      std::replace(cell.begin(), cell.end(), '\n', ' ');
      if (column == widths.size()) widths.push_back(0);
      widths[column] = std::max(widths[column], text_width(cell));
    }
  }
  std::string text;
  for (const auto& row : cells) {
    std::string line;
    for (std::size_t column = 0; column < row.size(); ++column) {
      line += row[column];
      line.append(widths[column] - text_width(row[column]) + kGap, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

}  // namespace glm
