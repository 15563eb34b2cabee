from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("streaming", "0002_chunk_age")]

    operations = [
        migrations.AddField("eventchunk", "packed", models.BinaryField(null=True)),
        migrations.AlterField("eventchunk", "body", models.TextField(blank=True, default="")),
        migrations.AddField("snapshot", "fold", models.SmallIntegerField(db_index=True, default=1)),
        migrations.AddField("snapshot", "packed_state", models.BinaryField(null=True)),
        migrations.AddField("snapshot", "packed_files", models.BinaryField(null=True)),
        migrations.AlterField("snapshot", "state", models.TextField(blank=True, default="")),
        migrations.CreateModel(
            "ConversationPage",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("agent_id", models.UUIDField()),
                ("epoch", models.BigIntegerField()),
                ("seq", models.BigIntegerField()),
                ("last_n", models.BigIntegerField()),
                ("clears", models.BooleanField(default=False)),
                ("packed", models.BinaryField()),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("agent_id", "epoch", "seq"), name="page_once")],
            },
        ),
    ]
