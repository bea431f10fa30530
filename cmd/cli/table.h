// Columns for people.
#pragma once

#include <string>
#include <vector>

namespace glm {

// The first row is the heading. Columns are as wide as their widest cell, four blanks apart, left
// aligned; lines have no blanks at their end. Control characters are left out.
std::string table(const std::vector<std::vector<std::string>>& rows);

}  // namespace glm
