-- Deletes the words of all names. Grain: word of a name.
delete from {words}
