file(READ ${IN} text)
# Semicolons separate list items in CMake; nothing here treats the text as a list.
string(REGEX REPLACE "\n( *)optional ([A-Za-z0-9_.]+ ([a-z0-9_]+) = [0-9]+)"
                     "\n\\1oneof has_\\3 { \\2; } // " text "${text}")
file(WRITE ${OUT} "${text}")
